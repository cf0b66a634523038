# What Maven's and Gradle's builds share; put before both.
set -euo pipefail
# Arguments of the app's own are split into words, but never matched against files.
set -f
cd /app

# Java does not read http_proxy and https_proxy.
proxy_options() {
  local scheme variable address
  for scheme in http https; do
    variable=${scheme}_proxy
    address=${!variable:-}
    if [ -z "$address" ]; then
      variable=${variable^^}
      address=${!variable:-}
    fi
    [ -n "$address" ] || continue
    address=${address#*://}
    address=${address##*@}
    address=${address%%/*}
    printf ' -D%s.proxyHost=%s -D%s.proxyPort=%s' "$scheme" "${address%%:*}" "$scheme" "${address##*:}"
  done
}

# Programs that `java -jar` runs, largest first, for the choice of a web command. Arguments: DIRECTORY…
list_programs() {
  mkdir -p /app/.heroku/java
  set +f
  local file folder
  for folder; do for file in "$folder"/*.jar "$folder"/*.war; do
    case $file in *-sources.jar | *-javadoc.jar | *-plain.jar | *-plain.war | *-tests.jar) continue ;; esac
    [ -f "$file" ] || continue
    if unzip -p "$file" META-INF/MANIFEST.MF 2> /tmp/unzip.log | grep -qi '^Main-Class:'; then
      printf '%s %s\n' "$(stat -c %s "$file")" "$file"
    fi
  done; done | sort -rn > /app/.heroku/java/programs
  set -f
}
