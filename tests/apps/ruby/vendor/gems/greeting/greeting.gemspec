Gem::Specification.new do |spec|
  spec.name = "greeting"
  spec.version = "0.2.0"
  spec.summary = "A gem that is part of the app's own source"
  spec.authors = ["Landfall"]
  spec.files = ["lib/greeting.rb"]
end
