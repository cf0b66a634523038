# Installs the gems of Gemfile.lock into /app/vendor/bundle. What earlier builds of the app installed is taken from the
# cache and put back there, so that a changed lock file installs what changed.
set -eu
cd /app
mkdir -p vendor .profile.d
# The Bundler that there is, not the one that wrote the lock file: binstubs in the app's bin ask for that one.
BUNDLER_VERSION=$(ruby -e 'require "bundler/version"; print Bundler::VERSION')
export BUNDLER_VERSION
echo "export BUNDLER_VERSION=$BUNDLER_VERSION" > .profile.d/ruby.sh
# The same directory of gems serves all versions of a series; another series has one of its own in it.
if [ -d /cache/ruby/bundle ]; then cp -a /cache/ruby/bundle vendor/; fi
if [ -d vendor/cache ] && bundle install --local --jobs 4 --quiet 2>/dev/null; then
  echo "Bundle complete: all gems are in vendor/cache or part of the source"
else
  bundle install --jobs 4 --retry 3
fi
bundle clean >/dev/null
rm -rf vendor/bundle/ruby/*/cache
# What compiling left beside the extensions is not loaded by anybody.
find vendor/bundle/ruby/*/gems -path '*/ext/*' \( -name '*.o' -o -name mkmf.log -o -name Makefile \) -delete 2>/dev/null || true
if [ -d vendor/bundle ]; then
  rm -rf /cache/ruby/bundle.new
  cp -a vendor/bundle /cache/ruby/bundle.new
  rm -rf /cache/ruby/bundle
  mv /cache/ruby/bundle.new /cache/ruby/bundle
fi
