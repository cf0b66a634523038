defmodule Shop.Application do
  @moduledoc "Starts the counter of visits, and what answers them."
  use Application

  @impl true
  def start(_type, _arguments) do
    children = [
      %{id: Shop.Counter, start: {Agent, :start_link, [fn -> 0 end, [name: Shop.Counter]]}},
      {Task.Supervisor, name: Shop.Visitors},
      {Task, fn -> Shop.Server.listen(Application.fetch_env!(:shop, :port)) end}
    ]

    Supervisor.start_link(children, strategy: :one_for_all, name: Shop.Supervisor)
  end
end
