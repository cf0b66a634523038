package com.example.shop;

import com.google.gson.Gson;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;

/** A small shop front: greets in JSON, and numbers its visits. */
public final class Shop {
    private Shop() {}

    public static void main(String[] arguments) throws IOException {
        var texts = new Properties();
        try (var file = Shop.class.getResourceAsStream("/shop.properties")) {
            texts.load(file);
        }
        var visits = new AtomicLong();
        var gson = new Gson();
        var port = Integer.parseInt(System.getenv("PORT"));
        var server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/", exchange -> {
            var page = Map.of("text", texts.getProperty("greeting"), "visit", visits.incrementAndGet());
            var body = gson.toJson(page).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
    }
}
