# A web server of a few lines: this app has no gem from outside.

require "bundler/setup"
require "socket"
Bundler.require(:default, ENV.fetch("APP_ENV", "production"))

$stdout.sync = true
server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT")))
puts "listening on #{ENV.fetch("PORT")}"
Signal.trap("TERM") { exit }

loop do
  Thread.new(server.accept) do |client|
    line = client.gets
    nil until client.gets.to_s.strip.empty?
    puts line.to_s.strip
    body = "#{Shout.up(Greeting.to("Landfall"))} (Ruby #{RUBY_VERSION})\n"
    client.write "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: #{body.bytesize}\r\n" \
                 "Connection: close\r\n\r\n#{body}"
  ensure
    client&.close
  end
end
