import Config

config :logger, level: :info
config :shop, name: "Elixir"
