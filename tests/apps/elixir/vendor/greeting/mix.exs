defmodule Greeting.MixProject do
  use Mix.Project

  def project do
    [app: :greeting, version: "1.0.0", elixir: "~> 1.15"]
  end
end
