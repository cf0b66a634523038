# Compiles what servers use of Go's own library, once for the apps of all. Arguments: CACHE.
# The flags are those of go_build.sh: results of other flags are other results.
set -eu
export GOCACHE=$1 GOFLAGS="-trimpath -buildvcs=false" GOTOOLCHAIN=local GO111MODULE=off
mkdir -p "$GOCACHE"
cd /tmp
go build net/http/... database/sql encoding/json encoding/xml encoding/csv html/template log/slog net/smtp os/exec os/signal embed \
  compress/gzip archive/zip crypto/... text/tabwriter testing expvar image/png runtime/pprof
