# Fetches and compiles what an Elixir app depends on.
set -euo pipefail
cd /app
export HEX_HOME=/cache/elixir/hex MIX_HOME=/tmp/mix
before=$(sha256sum mix.lock 2> /dev/null || true)
mix deps.get --only prod
# A lock file that does not say all is no promise that the next push gets the same.
if [ -n "$before" ] && [ "$before" != "$(sha256sum mix.lock)" ]; then
  echo "mix.lock does not agree with mix.exs: run \`mix deps.get\` on your machine and commit it."
  exit 1
fi
mix deps.compile
