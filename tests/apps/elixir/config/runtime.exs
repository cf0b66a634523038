import Config

config :shop,
  port: String.to_integer(System.get_env("PORT") || raise("PORT is not set")),
  whom: System.get_env("WHOM") || "everybody"
