# Makes the environment HOME with the packages of the source's requirements or lock file.
# Arguments: MANAGER HOME INTERPRETER SCOPE TOOL; SCOPE is `source` when all of the source is there, else `files`.
set -eu
manager=$1 home=$2 interpreter=$3 scope=$4 tool=$5
cd /app

environment() { uv venv --quiet --no-config --no-project --python "$interpreter" "$@" "$home"; }

# Poetry and Pipenv run from an environment of their own, on the stack's Python, gone after the build.
install_tool() {
  UV_TOOL_DIR=/tmp/tools UV_TOOL_BIN_DIR=/tmp/tools/bin \
    uv tool install --quiet --no-config --python /usr/bin/python3 "$tool" "$@"
  export PATH="/tmp/tools/bin:$PATH" VIRTUAL_ENV="$home"
}

# A mirror that is set for pip alone is meant for all packages; uv knows it by another name.
follow_pip() {
  if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
  fi
}

compile() { "$home/bin/python" -m compileall -q -j 0 "$home"/lib/python3*/site-packages || true; }

case $manager in
pip)
  follow_pip
  environment --seed
  # pip looks at all indexes alike; uv does so only when told.
  uv pip install --python "$home/bin/python" --compile-bytecode --index-strategy unsafe-best-match \
    -r requirements.txt
  ;;
uv)
  environment
  export UV_PROJECT_ENVIRONMENT="$home" UV_PYTHON="$interpreter" UV_PYTHON_DOWNLOADS=never
  only=""
  [ "$scope" = source ] || only=--no-install-project
  uv sync --locked --no-default-groups --compile-bytecode $only
  ;;
poetry)
  follow_pip
  environment --seed
  install_tool --with poetry-plugin-export
  # The lock file says it all; uv installs it many times quicker, and from the indexes that are configured for it.
  poetry export --only main --no-interaction --no-ansi --output /tmp/requirements.txt
  uv pip install --python "$home/bin/python" --no-deps --compile-bytecode --index-strategy unsafe-best-match \
    -r /tmp/requirements.txt
  [ "$scope" != source ] || uv pip install --python "$home/bin/python" --no-deps --editable .
  ;;
pipenv)
  environment --seed
  install_tool
  export PIPENV_IGNORE_VIRTUALENVS=0 PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_CACHE_DIR=/cache/uv/pipenv
  pipenv install --deploy
  compile
  ;;
esac
