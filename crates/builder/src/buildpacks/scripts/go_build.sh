# Builds the app's programs into /app/bin. Arguments: PACKAGE…
set -eu
export GOCACHE=/cache/go/build GOMODCACHE=/cache/go/modules GOBIN=/app/bin GOTOOLCHAIN=local
# Paths of this machine and the state of a checkout that is not there do not belong into a program.
export GOFLAGS="-trimpath -buildvcs=false -modcacherw${GOFLAGS:+ $GOFLAGS}"
# The cache of a new app, or of a new Go, begins with Go's own packages.
seeded=/cache/go/seeded-$(go env GOVERSION)
if [ ! -e "$seeded" ]; then
  mkdir -p "$GOCACHE"
  cp -r /app/.heroku/go-std/. "$GOCACHE/"
  touch "$seeded"
fi
cd /app
hook() {
  [ -f "$1" ] || return 0
  echo "Running $1"
  bash "$1"
}
hook bin/go-pre-compile
set -- -tags "heroku${GO_BUILD_TAGS:+,$GO_BUILD_TAGS}" "$@"
if [ -n "${GO_LINKER_SYMBOL:-}" ]; then
  set -- -ldflags "-X ${GO_LINKER_SYMBOL}=${GO_LINKER_VALUE:-${SOURCE_VERSION:-}}" "$@"
fi
go install -v "$@"
hook bin/go-post-compile
