# Installs an interpreter with uv, which checks its checksum. Arguments: PREFIX VERSION.
set -eu
prefix=$1 version=$2
export UV_PYTHON_INSTALL_DIR="$prefix-uv" UV_NO_PROGRESS=1 UV_NO_CACHE=1
uv python install --no-config --no-bin "$version"
python=$(uv python find --no-config --managed-python "$version")
ln -s "$(dirname "$(dirname "$(readlink -f "$python")")")" "$prefix"
exec "$prefix/bin/python3" --version
