# Serves the app with PHP-FPM behind Apache or nginx, on $PORT. Arguments: apache2|nginx, then what Heroku's programs of
# the same purpose take. Ends when any of the processes does, and ends all of them.
set -eu -o pipefail
home=/app/.heroku/php apt=/app/.apt
server=$1
shift
app=${HEROKU_APP_DIR:-$PWD}
export HEROKU_APP_DIR=$app

usage() {
  cat <<TEXT
Usage: heroku-php-$server [options] [DOCUMENT_ROOT]
  -C FILE   settings to include in those of the virtual host
  -c FILE   settings to use instead of those of the virtual host
  -F FILE   settings to include in those of PHP-FPM's pool
  -f FILE   settings to use instead of PHP-FPM's own
  -i FILE   php.ini to use
  -l FILE   a further log file to follow; may be given more than once
  -p PORT   the port to listen on, instead of \$PORT
  -t, -tt   check the settings, and show them
  -v        say more
TEXT
}

fail() {
  echo "heroku-php-$server: $*" >&2
  exit 1
}

include= whole= pool= fpm= ini= check= verbose= logs=()
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help) usage; exit 0 ;;
  -t | -tt | --test) check=1; shift; continue ;;
  -v | --verbose) verbose=1; shift; continue ;;
  --) shift; break ;;
  -[CcFfilp]) [ $# -gt 1 ] || fail "$1 needs an argument"; option=$1 value=$2; shift 2 ;;
  -[CcFfilp]*) option=${1:0:2} value=${1:2}; shift ;;
  -*) usage >&2; fail "unknown option $1" ;;
  *) break ;;
  esac
  case $option in
  -C) include=$value ;;
  -c) whole=$value ;;
  -F) pool=$value ;;
  -f) fpm=$value ;;
  -i) ini=$value ;;
  -l) logs+=("$value") ;;
  -p) PORT=$value ;;
  esac
done
[ $# -le 1 ] || fail "too many arguments: $*"
export PORT=${PORT:-8080}
document_root=${1:-}
while [[ $document_root == */ ]]; do document_root=${document_root%/}; done
case $document_root in
/*) ;;
'') document_root=$app ;;
*) document_root=$app/$document_root ;;
esac
[ -d "$document_root" ] || fail "the document root $document_root does not exist"
export DOCUMENT_ROOT=$document_root

# A settings file below the app; one that ends in .php is a program that prints it.
settings() {
  local path=$1
  [[ $path == /* ]] || path=$app/$path
  [ -f "$path" ] || fail "cannot read $1, which should be in $app"
  if [[ $path == *.php ]]; then
    local made
    made=$(mktemp "/tmp/$(basename "${path%.php}").XXXXXX")
    php "$path" > "$made"
    path=$made
  fi
  echo "$path"
}

# How many requests are answered at once: as many as fit into the dyno's memory.
memory_mb() {
  local file bytes
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    if [ -r "$file" ]; then
      read -r bytes < "$file"
      case $bytes in
      '' | *[!0-9]*) ;;
      # A dyno's hard limit is twice its quota.
      *) if [ "${#bytes}" -lt 14 ]; then echo $((bytes / 2097152)); return; fi ;;
      esac
    fi
  done
  echo 512
}
if [ -z "${WEB_CONCURRENCY:-}" ]; then
  limit=$(sed -n 's/^ *memory_limit *= *\([0-9]*\)M.*/\1/p' "$document_root/.user.ini" 2>/dev/null | tail -n 1 || true)
  WEB_CONCURRENCY=$(($(memory_mb) / ${limit:-128}))
  if [ "$WEB_CONCURRENCY" -lt 1 ]; then WEB_CONCURRENCY=1; fi
fi
export WEB_CONCURRENCY
if [ -n "$verbose" ]; then echo "$WEB_CONCURRENCY processes, document root $DOCUMENT_ROOT" >&2; fi

socket=/tmp/heroku.fcgi.$PORT.sock
fpm_settings=/tmp/heroku.php-fpm.$PORT.conf
if [ -n "$fpm" ]; then
  fpm=$(settings "$fpm")
  cat "$fpm" > "$fpm_settings"
else
  cat "$home/fpm.conf" > "$fpm_settings"
fi
if [ -n "$pool" ]; then
  pool=$(settings "$pool")
  printf '\ninclude = %s\n' "$pool" >> "$fpm_settings"
fi
fpm_command=(php-fpm --nodaemonize --force-stderr --fpm-config "$fpm_settings")
if [ -n "$ini" ]; then
  ini=$(settings "$ini")
  fpm_command+=(-c "$ini")
fi

export COMPOSER_VENDOR_DIR=${COMPOSER_VENDOR_DIR:-vendor}
if [ -n "$whole" ]; then whole=$(settings "$whole"); else whole=$home/$server.conf; fi
if [ -n "$include" ]; then include=$(settings "$include"); else include=$home/$server-default.conf; fi
case $server in
apache2)
  export HEROKU_PHP_HTTPD_CONFIG_INCLUDE=$include HEROKU_PHP_HOST_CONFIG=$whole LANDFALL_APT=$apt
  server_command=(httpd -DFOREGROUND -d "$apt/usr/lib/apache2" -f "$home/httpd.conf")
  server_test=("${server_command[@]}" -t)
  quit=WINCH
  ;;
nginx)
  # nginx reads no variables of the environment in its settings.
  made=/tmp/heroku.nginx.$PORT.conf
  sed -e "s|\${PORT}|$PORT|g; s|\${DOCUMENT_ROOT}|$DOCUMENT_ROOT|g; s|\${INCLUDE}|$include|g; s|\${APT}|$apt|g" \
    "$whole" > "/tmp/heroku.nginx-host.$PORT.conf"
  sed -e "s|\${PORT}|$PORT|g; s|\${APT}|$apt|g" "$home/nginx-main.conf" > "$made"
  server_command=(nginx -p /tmp -e stderr -c "$made")
  server_test=("${server_command[@]}" -t)
  quit=QUIT
  ;;
esac
if [ -n "$check" ]; then
  "${fpm_command[@]}" -t
  exec "${server_test[@]}"
fi

processes=()
shut_down() {
  trap '' TERM INT
  if [ -n "${server_process:-}" ]; then kill -s "$quit" "$server_process" 2>/dev/null || true; fi
  if [ -n "${server_process:-}" ]; then wait "$server_process" 2>/dev/null || true; fi
  for process in "${processes[@]}"; do kill -s QUIT "$process" 2>/dev/null || true; done
  for process in "${followers[@]:-}"; do [ -z "$process" ] || kill "$process" 2>/dev/null || true; done
  wait || true
}
trap 'shut_down; exit 143' TERM INT

followers=()
for log in "${logs[@]:+${logs[@]}}"; do
  [[ $log == /* ]] || log=$app/$log
  mkdir -p "$(dirname "$log")"
  touch "$log"
  tail -qF -n 0 "$log" >&2 &
  followers+=($!)
done
rm -f "$socket"
"${fpm_command[@]}" &
fpm_process=$!
processes+=("$fpm_process")
while [ ! -S "$socket" ]; do
  kill -0 "$fpm_process" 2>/dev/null || { shut_down; fail "PHP-FPM did not start"; }
  sleep 0.02
done
"${server_command[@]}" &
server_process=$!
if wait -n "$fpm_process" "$server_process"; then status=1; else status=$?; fi
echo "heroku-php-$server: a process ended unexpectedly (status $status)" >&2
shut_down
exit 1
