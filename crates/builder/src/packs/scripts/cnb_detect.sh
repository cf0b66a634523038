# Copies the app to where it will be built, and asks buildpacks whether they can.
# Arguments: APP RESULTS, and for each buildpack whether it wants no config vars (true, false), the name of the directory
# of its layers, which is made below APP, and its own directory.
# Leaves in RESULTS, for the Nth: N.toml, its build plan; N.status, how it ended; N.output.
set -u
app=$1 results=$2
shift 2
cp -a /app/. "$app" || exit 1
number=0
while [ $# -ge 3 ]; do
  clear=$1 folder=$2 buildpack=$3
  shift 3
  mkdir -p "$app/.cnb/layers/$folder" || exit 1
  plan=$results/$number.toml
  : > "$plan"
  (
    cd "$app" || exit 1
    export CNB_BUILDPACK_DIR=$buildpack CNB_BUILD_PLAN_PATH=$plan
    if [ "$clear" = false ]; then
      for file in "$CNB_PLATFORM_DIR"/env/*; do
        [ -f "$file" ] && export "${file##*/}=$(cat "$file")"
      done
    fi
    exec "$buildpack/bin/detect" "$CNB_PLATFORM_DIR" "$plan"
  ) > "$results/$number.output" 2>&1
  echo $? > "$results/$number.status"
  number=$((number + 1))
done
