# Installs uv from the Python package index, pinned to hashes, into /app/.heroku/uv.
# Arguments: VERSION HASH...
set -eu
version=$1
shift
requirement="uv==$version"
for hash in "$@"; do requirement="$requirement --hash=sha256:$hash"; done
echo "$requirement" > /tmp/requirements.txt
pip=$(echo /usr/share/python-wheels/pip-*.whl)
PYTHONPATH=$pip python3 -m pip install --disable-pip-version-check --no-cache-dir --no-deps --no-compile --quiet \
  --only-binary :all: --require-hashes --target /tmp/uv -r /tmp/requirements.txt
mkdir -p /app/.heroku/uv
mv /tmp/uv/bin /app/.heroku/uv/bin
