# Installs a Rust with rustup, which checks the sums of the release's manifest. Arguments: PREFIX TOOLCHAIN TARGET…
set -eu
prefix=$1 toolchain=$2
shift 2
options=""
for target in "$@"; do options="$options --target $target"; done
export RUSTUP_HOME=$prefix-rustup RUST_BACKTRACE=0
mkdir -p "$(dirname "$prefix")"
# shellcheck disable=SC2086
rustup --quiet toolchain install "$toolchain" --profile minimal --no-self-update $options
mv "$RUSTUP_HOME"/toolchains/* "$prefix"
rm -rf "$RUSTUP_HOME" "$prefix/share"
"$prefix/bin/rustc" --version
