package com.example.shop;

import com.google.gson.Gson;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

/** A small shop front: greets in JSON, numbers its visits, and says what it was given of the dyno. */
public final class Shop {
    /** What a visitor is told. */
    record Greeting(String text, long visit, String java, long heapMegabytes, boolean hasDatabase) {}

    private Shop() {}

    public static void main(String[] arguments) throws IOException {
        var texts = new Properties();
        try (var file = Shop.class.getResourceAsStream("/shop.properties")) {
            texts.load(new InputStreamReader(file, StandardCharsets.UTF_8));
        }
        var visits = new AtomicLong();
        var gson = new Gson();
        var server = HttpServer.create(new InetSocketAddress(port(System.getenv())), 0);
        server.setExecutor(Executors.newVirtualThreadPerTaskExecutor());
        server.createContext("/", exchange -> {
            var greeting = new Greeting(
                texts.getProperty("greeting"),
                visits.incrementAndGet(),
                System.getProperty("java.version"),
                Runtime.getRuntime().maxMemory() >> 20,
                System.getenv("JDBC_DATABASE_URL") != null);
            var body = gson.toJson(greeting).getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
    }

    private static int port(Map<String, String> environment) {
        return Integer.parseInt(environment.get("PORT"));
    }
}
