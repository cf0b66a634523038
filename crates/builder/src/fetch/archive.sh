# Fetches SOURCE_URL into the working directory. Nothing but HTTP, also after redirects.
curl --disable --fail --silent --show-error --location --max-redirs 5 \
  --proto '=http,https' --proto-redir '=http,https' \
  --connect-timeout 30 --max-time 540 --max-filesize 2147483648 \
  --output fetched --url "$SOURCE_URL"
# Code hosts pack everything below one directory, named after the commit.
names=$(tar -tf fetched 2>/dev/null | sed 's,^\./,,' | grep -v '^$' || true)
if [ "$(printf '%s\n' "$names" | cut -d/ -f1 | sort -u | wc -l)" = 1 ] &&
  printf '%s\n' "$names" | grep -q '/.'; then
  files=$(mktemp -d)
  tar -xf fetched --strip-components=1 --no-same-owner -C "$files"
  tar -cf source.tar -C "$files" .
  rm -r "$files"
else
  ln fetched source.tar
fi
