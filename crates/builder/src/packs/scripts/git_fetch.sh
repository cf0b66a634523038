# Fetches one commit of a repository, with its submodules, into /app. Arguments: URL COMMIT.
set -eu
url=$1 commit=$2
export GIT_ALLOW_PROTOCOL=https:git GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true
cd /app
git init --quiet .
# Not all servers give a commit that is asked for by its name alone.
if ! git fetch --quiet --depth 1 --no-tags -- "$url" "$commit" 2> /tmp/refused; then
  git fetch --quiet --tags -- "$url" '+refs/heads/*:refs/remotes/origin/*'
fi
git -c advice.detachedHead=false checkout --quiet "$commit"
if [ -f .gitmodules ]; then
  git remote add origin -- "$url"
  git submodule --quiet update --init --recursive --depth 1
fi
find . -name .git -prune -exec rm -rf {} +
