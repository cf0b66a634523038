defmodule Shop.Server do
  @moduledoc "A web server of a few lines, by what OTP has: this app has no package from outside."
  require Logger

  def listen(port) do
    {:ok, socket} = :gen_tcp.listen(port, [:binary, packet: :http_bin, active: false, reuseaddr: true, backlog: 64])
    Logger.info("listening on #{port}")
    accept(socket)
  end

  defp accept(socket) do
    {:ok, visitor} = :gen_tcp.accept(socket)
    {:ok, _pid} = Task.Supervisor.start_child(Shop.Visitors, fn -> serve(visitor) end)
    accept(socket)
  end

  defp serve(visitor) do
    {:ok, {:http_request, _method, {:abs_path, path}, _version}} = :gen_tcp.recv(visitor, 0)
    skip_headers(visitor)
    visit = Agent.get_and_update(Shop.Counter, &{&1 + 1, &1 + 1})
    body = Greeting.words(Application.fetch_env!(:shop, :name), visit)

    :gen_tcp.send(visitor, [
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n",
      "Content-Length: #{byte_size(body)}\r\n\r\n",
      body
    ])

    Logger.info("asked for #{path}")
    :gen_tcp.close(visitor)
  end

  defp skip_headers(visitor) do
    case :gen_tcp.recv(visitor, 0) do
      {:ok, :http_eoh} -> :ok
      {:ok, _header} -> skip_headers(visitor)
    end
  end
end
