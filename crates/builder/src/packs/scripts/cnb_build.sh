# Builds with one buildpack. Arguments: whether it wants no config vars (true, false), and for each layer to restore
# the directory that it is in.
set -u
clear=$1
shift
for folder; do
  cp -a "$folder" "$CNB_LAYERS_DIR/" || exit 1
done
if [ "$clear" = false ]; then
  for file in "$CNB_PLATFORM_DIR"/env/*; do
    # What the platform or a layer has set is not undone.
    name=${file##*/}
    [ -f "$file" ] && [ -z "${!name+x}" ] && export "$name=$(cat "$file")"
  done
fi
cd /app || exit 1
exec "$CNB_BUILDPACK_DIR/bin/build" "$CNB_LAYERS_DIR" "$CNB_PLATFORM_DIR" "$CNB_BP_PLAN_PATH"
