module Greeting
  def self.to(whom)
    "hello #{whom}"
  end
end
