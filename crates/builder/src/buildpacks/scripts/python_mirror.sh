# Unpacks an interpreter of the machine's mirror directory. Arguments: PREFIX SHA256.
# The archive holds `bin/python3` at its top or in one directory below.
set -eu
prefix=$1 digest=$2
echo "$digest  /cache/mirror" | sha256sum --check --quiet
mkdir -p /tmp/unpacked "$(dirname "$prefix")"
tar -xf /cache/mirror -C /tmp/unpacked --no-same-owner
for folder in /tmp/unpacked /tmp/unpacked/*; do
  if [ -e "$folder/bin/python3" ]; then
    cp -a "$folder" "$prefix"
    exec "$prefix/bin/python3" --version
  fi
done
echo "The archive holds no bin/python3."
exit 1
