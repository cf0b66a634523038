# Builds the app's programs, and puts them where `cargo build` on a person's machine would.
set -euo pipefail
export CARGO_HOME=/cache/rust/home CARGO_TARGET_DIR=/cache/rust/target CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never
cd /app
# Files of a commit may be older than the last build of another; only what comes from a registry is compared by its sum.
cargo metadata --format-version 1 --locked --no-deps | jq -r '.packages[].name' | while read -r name; do
  rm -rf "$CARGO_TARGET_DIR"/*/.fingerprint/"$name"-*
done
# shellcheck disable=SC2086
cargo build --locked --message-format json-render-diagnostics ${RUST_CARGO_BUILD_FLAGS:---release} > /tmp/messages
mkdir -p target/release
jq -r 'select(.reason == "compiler-artifact" and .executable != null and (.target.kind | index("bin"))) | .executable' \
  /tmp/messages | while read -r program; do
  cp "$program" target/release/
  echo "target/release/$(basename "$program")"
done
