defmodule Greeting do
  @doc "The words for one visit."
  def words(name, visit), do: "Hello from #{name}, visit #{visit}\n"
end
