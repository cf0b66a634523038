# Runs classic buildpacks one after the other, as Heroku does.
# Arguments: BUILD_DIR CACHE_DIR ENV_DIR RESULTS ALONE SETUP BUILDPACK...
# Copies /app to BUILD_DIR first; with ALONE=1 nothing was built before, and /app is left empty, as on Heroku.
# Leaves in RESULTS: failed (what, of which buildpack), name-N (what detect said), release-N, environment.
landfall_build=$1 landfall_cache=$2 landfall_env=$3 landfall_results=$4 landfall_alone=$5
shift 5
mkdir -p "$landfall_build" "$landfall_cache" "$landfall_env" "$landfall_results" || exit 1
cp -a /app/. "$landfall_build" || exit 1
if [ "$landfall_alone" = 1 ]; then
  find /app -mindepth 1 -maxdepth 1 -exec rm -rf {} +
fi
landfall_fail() {
  echo "$1 $landfall_number" > "$landfall_results/failed"
  exit "$2"
}
landfall_number=0
landfall_packs=$#
for landfall_from; do
  # Buildpacks write into their own directory: a copy, gone after the build.
  landfall_pack=/tmp/codon/tmp/buildpacks/$landfall_number
  mkdir -p "$landfall_pack"
  cp -a "$landfall_from/." "$landfall_pack" || exit 1
  chmod -R u+w "$landfall_pack"
  chmod -f +x "$landfall_pack"/bin/{detect,compile,release,report}
  # Some name their own files relative to themselves.
  cd "$landfall_pack" || exit 1
  landfall_name=$("$landfall_pack/bin/detect" "$landfall_build") || {
    [ -z "$landfall_name" ] || printf '%s\n' "$landfall_name"
    landfall_fail detect 1
  }
  landfall_name=${landfall_name%%$'\n'*}
  printf '%s\n' "$landfall_name" > "$landfall_results/name-$landfall_number"
  echo "-----> $landfall_name app detected"
  "$landfall_pack/bin/compile" "$landfall_build" "$landfall_cache" "$landfall_env"
  landfall_status=$?
  if [ $landfall_status -ne 0 ]; then
    landfall_fail compile $landfall_status
  fi
  if [ -x "$landfall_pack/bin/release" ]; then
    "$landfall_pack/bin/release" "$landfall_build" > "$landfall_results/release-$landfall_number" ||
      landfall_fail release 1
  fi
  if [ -f "$landfall_pack/export" ]; then
    cd "$landfall_build" || landfall_fail compile 1
    . "$landfall_pack/export"
  fi
  landfall_number=$((landfall_number + 1))
done
env -0 > "$landfall_results/environment"
