# Fetches what a Deno app imports. Arguments: LOCK SETTINGS ENTRY; LOCK is locked or unlocked, SETTINGS `settings` to fetch
# all that these name, ENTRY a program to fetch for; both may be empty.
set -eu
cd /app
frozen=""
[ "$1" != locked ] || frozen=--frozen
if [ -n "$2" ] && { [ -e deno.json ] || [ -e deno.jsonc ] || [ -e package.json ]; }; then
  # shellcheck disable=SC2086
  deno install --quiet $frozen
fi
# shellcheck disable=SC2086
[ -z "$3" ] || deno cache --quiet $frozen "$3"
