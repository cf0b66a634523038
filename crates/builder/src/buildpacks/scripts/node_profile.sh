# What Heroku's Node.js buildpack tells programs about the dyno's memory, unless it is set.
# A dyno's hard limit is twice its quota (Heroku's R14 and R15); programs should stay within the quota.
landfall_memory_mb() {
  local file bytes
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    if [ -r "$file" ]; then
      read -r bytes < "$file"
      case $bytes in
      '' | *[!0-9]*) ;;
      *) if [ "${#bytes}" -lt 14 ]; then echo $((bytes / 2097152)); return; fi ;;
      esac
    fi
  done
  echo 512
}
export MEMORY_AVAILABLE=${MEMORY_AVAILABLE:-$(landfall_memory_mb)}
export WEB_MEMORY=${WEB_MEMORY:-512}
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
  if [ "$WEB_CONCURRENCY" -lt 1 ]; then WEB_CONCURRENCY=1; fi
  export WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/nodejs
fi
unset -f landfall_memory_mb
