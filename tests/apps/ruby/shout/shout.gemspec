# Not part of the app: vendor/cache/shout-1.0.0.gem is made of this by `gem build`.
Gem::Specification.new do |spec|
  spec.name = "shout"
  spec.version = "1.0.0"
  spec.summary = "A gem with a part in C, which has to be compiled where it is installed"
  spec.authors = ["Landfall"]
  spec.files = ["lib/shout.rb", "ext/shout/shout.c", "ext/shout/extconf.rb"]
  spec.extensions = ["ext/shout/extconf.rb"]
end
