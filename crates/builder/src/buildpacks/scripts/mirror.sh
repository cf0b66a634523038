# Unpacks a runtime of the machine's mirror directory. Arguments: PREFIX SHA256 PROGRAM.
# The archive holds PROGRAM (`bin/java`) at its top or in one directory below.
set -eu
prefix=$1 digest=$2 program=$3
echo "$digest  /cache/mirror" | sha256sum --check --quiet
mkdir -p /tmp/unpacked "$(dirname "$prefix")"
case $(head -c 2 /cache/mirror) in
PK) unzip -q /cache/mirror -d /tmp/unpacked ;;
*) tar -xf /cache/mirror -C /tmp/unpacked --no-same-owner ;;
esac
for folder in /tmp/unpacked /tmp/unpacked/*; do
  if [ -e "$folder/$program" ]; then
    cp -a "$folder" "$prefix"
    chmod +x "$prefix/$program"
    exit 0
  fi
done
echo "The archive holds no $program."
exit 1
