# Compiles an Elixir app. Arguments: ASSETS RELEASE; ASSETS is a task that makes assets, RELEASE `release` for an app that is
# run as a release; both may be empty.
set -euo pipefail
cd /app
export HEX_HOME=/tmp/hex MIX_HOME=/tmp/mix
mix compile
if [ "$1" = assets.deploy ] || { [ -n "$1" ] && [ -d priv/static ]; }; then
  echo "\$ mix $1"
  mix "$1"
fi
if [ -n "$2" ]; then
  echo "\$ mix release --overwrite"
  mix release --overwrite
fi
