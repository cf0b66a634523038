Gem::Specification.new do |spec|
  spec.name = "noisy"
  spec.version = "0.1.0"
  spec.summary = "Must not be loaded outside development"
  spec.authors = ["Landfall"]
  spec.files = ["lib/noisy.rb"]
end
