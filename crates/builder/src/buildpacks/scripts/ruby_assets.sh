# Runs rake's assets:precompile if there is such a task. Argument: `rails` for an app of Rails, whose tasks must load.
set -eu
cd /app
for file in .profile.d/*.sh; do
  if [ -f "$file" ]; then set +eu; . "./$file"; set -eu; fi
done
for manifest in public/assets/manifest-*.json public/assets/.sprockets-manifest-*.json public/assets/.manifest.json; do
  if [ -f "$manifest" ]; then
    echo "Detected $manifest: the assets were compiled before they were committed"
    exit 0
  fi
done
if ! bundle exec rake -P --trace > /tmp/tasks 2> /tmp/trouble; then
  tail -n 40 /tmp/trouble
  if [ "$1" = rails ]; then
    echo "The tasks of the Rakefile could not be loaded (bundle exec rake -P)."
    exit 1
  fi
  echo "The tasks of the Rakefile could not be loaded; assets:precompile is not looked for."
  exit 0
fi
grep -q '^rake assets:precompile$' /tmp/tasks || exit 0
echo "-----> Preparing app for the asset pipeline"
echo "Running: rake assets:precompile"
mkdir -p tmp
if [ -d /cache/ruby/assets ]; then mkdir -p tmp/cache && rm -rf tmp/cache/assets && cp -a /cache/ruby/assets tmp/cache/assets; fi
bundle exec rake assets:precompile
if grep -q '^rake assets:clean$' /tmp/tasks; then bundle exec rake assets:clean; fi
# What compiling keeps for the next time is of no use to dynos.
rm -rf /cache/ruby/assets
if [ -d tmp/cache/assets ]; then cp -a tmp/cache/assets /cache/ruby/assets; rm -rf tmp/cache/assets; fi
