# Fetches a Gradle where its wrapper says. Arguments: PREFIX URL SHA256; SHA256 may be empty: then the checksum that is
# published beside the archive is what is compared.
set -eu
prefix=$1 url=$2 digest=$3
fetch() { curl -sSf --retry 3 --connect-timeout 10 --proto '=https' -L -o "$1" -- "$2"; }
fetch /tmp/gradle.zip "$url"
if [ -z "$digest" ]; then
  fetch /tmp/gradle.sha256 "$url.sha256"
  digest=$(cut -c 1-64 /tmp/gradle.sha256)
fi
echo "$digest  /tmp/gradle.zip" | sha256sum --check --quiet
mkdir -p /tmp/unpacked "$(dirname "$prefix")"
unzip -q /tmp/gradle.zip -d /tmp/unpacked
cp -a /tmp/unpacked/gradle-* "$prefix"
chmod +x "$prefix/bin/gradle"
