# Sets WEB_CONCURRENCY, which gunicorn and uvicorn read, from the dyno's memory and processors unless it is set.
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
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  DYNO_RAM=${DYNO_RAM:-$(landfall_memory_mb)}
  WEB_CONCURRENCY=$((DYNO_RAM / 256))
  landfall_most=$(($(nproc) * 2 + 1))
  if [ "$WEB_CONCURRENCY" -gt "$landfall_most" ]; then WEB_CONCURRENCY=$landfall_most; fi
  if [ "$WEB_CONCURRENCY" -lt 1 ]; then WEB_CONCURRENCY=1; fi
  export DYNO_RAM WEB_CONCURRENCY WEB_CONCURRENCY_SET_BY=heroku/python
  unset landfall_most
fi
unset -f landfall_memory_mb
