# Lists which Go versions can be had. Arguments: OUTPUT. Writes JSON: {"stack": "1.24.4", "upstream": ["1.24.4", …]};
# upstream is empty where the module proxy cannot be reached, which is no error.
set -eu
export GOTOOLCHAIN=local GOFLAGS= GOMODCACHE=/tmp/modules GOCACHE=/tmp/cache/go
stack=$(go env GOVERSION)
listed=$(cd /tmp && go list -m -versions go) || listed=""
jq -n --arg stack "${stack#go}" --arg listed "$listed" \
  '{stack: ($stack | split(" ")[0]), upstream: ($listed | split(" ") | map(select(test("^[0-9]+\\.[0-9]+\\.[0-9]+$"))))}' \
  > "$1"
