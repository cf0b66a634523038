# Finds which commit a branch, tag or HEAD of a repository is. Arguments: URL REFERENCE OUTPUT.
# Writes JSON: {"commit": "…"}.
set -eu
url=$1 reference=$2 output=$3
export GIT_ALLOW_PROTOCOL=https:git GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true
found=$(git ls-remote -- "$url" "$reference" "refs/heads/$reference" "refs/tags/$reference" "refs/tags/$reference^{}")
# A tag that is an object of its own has a second line, which names the commit.
commit=$(printf '%s\n' "$found" | awk '
  /\^\{\}$/ { peeled = $1 }
  first == "" { first = $1 }
  END { print peeled == "" ? first : peeled }')
if [ -z "$commit" ]; then
  echo "The repository has no branch or tag $reference."
  exit 1
fi
printf '{"commit": "%s"}\n' "$commit" > "$output"
