# Tells Java about the dyno's memory as Heroku does, and gives the database's address in Java's form.
# A dyno's hard limit is twice its quota (Heroku's R14 and R15); programs should stay within the quota.
landfall_java_options() {
  local file bytes quota=
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    read -r bytes < "$file"
    case $bytes in
    '' | *[!0-9]*) ;;
    *) if [ "${#bytes}" -lt 14 ]; then quota=$((bytes / 2)); break; fi ;;
    esac
  done
  printf '%s' "-Dfile.encoding=UTF-8"
  [ -z "$quota" ] || printf ' %s' "-XX:MaxRAM=$quota"
  # What is left is for stacks, classes and compiled code, which take about the same in a small dyno and a large one.
  case $((${quota:-0} / 1048576)) in
  512) printf ' %s' -Xmx300m -Xss512k -XX:CICompilerCount=2 ;;
  1024) printf ' %s' -Xmx671m -XX:CICompilerCount=2 ;;
  *) printf ' %s' -XX:MaxRAMPercentage=80.0 ;;
  esac
}
landfall_java_flags=$(landfall_java_options)
export JAVA_OPTS="$landfall_java_flags${JAVA_OPTS:+ $JAVA_OPTS}"
case ${DYNO:-} in
run.*) ;; # A tool that somebody runs by hand is theirs to tell.
*) export JAVA_TOOL_OPTIONS="$landfall_java_flags${JAVA_TOOL_OPTIONS:+ $JAVA_TOOL_OPTIONS}" ;;
esac

# Percent signs of an address, read back: `a%40b` is `a@b`.
landfall_decoded() {
  local text=${1//\\/\\\\}
  printf '%b' "${text//%/\\x}"
}

# Sets PREFIX_URL, PREFIX_USERNAME and PREFIX_PASSWORD. Arguments: PREFIX ADDRESS.
landfall_jdbc() {
  local prefix=$1 address=$2 scheme rest user password place query
  scheme=${address%%://*}
  case $scheme in
  postgres | postgresql) scheme=postgresql ;;
  mysql | mariadb) ;;
  *) return 0 ;;
  esac
  rest=${address#*://}
  query=
  case $rest in *\?*) query="&${rest#*\?}" ;; esac
  rest=${rest%%\?*}
  # A password may hold an @ that should have been written as %40: the last one ends it.
  case $rest in *@*) ;; *) return 0 ;; esac
  place=${rest##*@} user=${rest%@*} password=
  case $user in *:*) password=${user#*:} user=${user%%:*} ;; esac
  [ -n "$user" ] && [ -n "$password" ] || return 0
  export "${prefix}_URL=jdbc:$scheme://$place?user=$user&password=$password$query"
  export "${prefix}_USERNAME=$(landfall_decoded "$user")"
  export "${prefix}_PASSWORD=$(landfall_decoded "$password")"
}
if [ -z "${JDBC_DATABASE_URL:-}" ]; then
  landfall_jdbc JDBC_DATABASE "${DATABASE_CONNECTION_POOL_URL:-${DATABASE_URL:-${JAWSDB_URL:-${JAWSDB_MARIA_URL:-}}}}"
fi
for landfall_name in $(compgen -e | grep -x 'HEROKU_POSTGRESQL_[A-Z_]*_URL' || true); do
  landfall_jdbc "${landfall_name%_URL}_JDBC" "${!landfall_name}"
done
if [ "${DISABLE_SPRING_DATASOURCE_URL:-}" != true ] && [ -n "${JDBC_DATABASE_URL:-}" ] &&
  [ -z "${SPRING_DATASOURCE_URL:-}${SPRING_DATASOURCE_USERNAME:-}${SPRING_DATASOURCE_PASSWORD:-}" ]; then
  export SPRING_DATASOURCE_URL="$JDBC_DATABASE_URL"
  export SPRING_DATASOURCE_USERNAME="${JDBC_DATABASE_USERNAME:-}" SPRING_DATASOURCE_PASSWORD="${JDBC_DATABASE_PASSWORD:-}"
fi
unset -f landfall_java_options landfall_decoded landfall_jdbc
unset landfall_java_flags landfall_name
