require "mkmf"

create_makefile("shout/shout")
