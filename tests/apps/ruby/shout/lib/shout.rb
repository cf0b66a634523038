require "shout/shout"
