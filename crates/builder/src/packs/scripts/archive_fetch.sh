# Fetches an archive, checks it and unpacks it into /app. Arguments: URL MOST_BYTES SHA256.
set -eu
url=$1 most=$2 digest=$3
curl --fail --silent --show-error --location --proto '=https' --proto-redir '=https' --max-redirs 5 \
  --max-filesize "$most" --retry 2 --output /tmp/archive -- "$url"
echo "$digest  /tmp/archive" | sha256sum --check --quiet
mkdir /tmp/unpacked
tar -xf /tmp/archive -C /tmp/unpacked --no-same-owner
# An archive of a repository has everything in one directory.
cd /tmp/unpacked
if [ ! -e bin ] && [ ! -e buildpack.toml ]; then
  set -- */
  if [ $# -eq 1 ] && [ -d "$1" ]; then cd "$1"; fi
fi
cp -a . /app
