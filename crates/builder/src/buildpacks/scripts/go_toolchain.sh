# Fetches a Go through the module proxy, as `go` itself does; it checks the sum. Arguments: PREFIX VERSION.
set -eu
prefix=$1 version=$2
modules=${prefix}-modules
export GOMODCACHE=$modules GOCACHE=/tmp/cache/go GOFLAGS=
cd /tmp
GOTOOLCHAIN=go$version go version
# What comes out of a module cache may not be written to, nor moved.
chmod -R u+w "$modules"
mv "$modules"/golang.org/toolchain@* "$prefix"
# Only what builds programs is needed.
rm -rf "$modules" "$prefix/test" "$prefix/api" "$prefix/doc"
