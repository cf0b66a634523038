# Fetches what a Deno app imports. Arguments: LOCK ENTRY; LOCK is locked or unlocked, ENTRY may be empty.
set -eu
cd /app
frozen=""
[ "$1" != locked ] || frozen=--frozen
# shellcheck disable=SC2086
[ ! -e deno.json ] && [ ! -e deno.jsonc ] && [ ! -e package.json ] || deno install --quiet $frozen
# shellcheck disable=SC2086
[ -z "$2" ] || deno cache --quiet $frozen "$2"
