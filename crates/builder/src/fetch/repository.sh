# Fetches SOURCE_REFERENCE of the repository at SOURCE_URL, that commit alone, and packs its files.
umask 077
export HOME=/tmp/fetch GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=http:https:ssh
mkdir -p "$HOME/.ssh"
key="$HOME/.ssh/key"
hosts="$HOME/.ssh/known_hosts"
printf '%s\n' "${DEPLOY_KEY:-}" > "$key"
printf '%s' "${KNOWN_HOSTS:-}" > "$hosts"
unset DEPLOY_KEY KNOWN_HOSTS
# A server that was never seen is believed once; one that shows another key than before is not.
export GIT_SSH_COMMAND="ssh -F /dev/null -i $key -o IdentitiesOnly=yes -o BatchMode=yes \
 -o ConnectTimeout=30 -o StrictHostKeyChecking=accept-new -o HashKnownHosts=no \
 -o UserKnownHostsFile=$hosts -o GlobalKnownHostsFile=/dev/null"
git init --quiet --template= /tmp/source
cd /tmp/source
git -c transfer.fsckObjects=true fetch --quiet --depth 1 --no-tags --no-recurse-submodules \
  "$SOURCE_URL" "$SOURCE_REFERENCE"
mkdir -p .git/info
# An archive must hold what a checkout would.
echo '* -export-ignore -export-subst' > .git/info/attributes
umask 022
git rev-parse 'FETCH_HEAD^{commit}' > /app/commit
git archive --format=tar --output /app/source.tar FETCH_HEAD
cat "$hosts" > /app/known_hosts
echo "Commit $(cat /app/commit)"
