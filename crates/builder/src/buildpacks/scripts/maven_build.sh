# Builds a Maven app. Follows java_common.sh. Arguments: MAVEN INSTALLED MIRROR; MAVEN is `wrapper`, `installed` or a
# version, INSTALLED the directory of a Maven, MIRROR an address that stands for the central repository, or empty.
maven=$1 installed=$2 mirror=$3
export MAVEN_USER_HOME=/cache/maven
export MAVEN_OPTS="-Xmx1024m${MAVEN_JAVA_OPTS:+ $MAVEN_JAVA_OPTS} -Dmaven.repo.local=/cache/maven/repository$(proxy_options)"

# Another Maven is an artifact like any other; the one that is there fetches and verifies it.
fetch_maven() {
  local home=/cache/maven/apache-maven-$maven
  if [ ! -e "$home/apache-maven-$maven/bin/mvn" ]; then
    echo "Installing Maven $maven"
    rm -rf "$home"
    (cd /tmp && "$installed/bin/mvn" "${options[@]}" --quiet --strict-checksums \
      org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack -Dproject.basedir=/tmp \
      "-Dartifact=org.apache.maven:apache-maven:$maven:tar.gz:bin" "-DoutputDirectory=$home")
  fi
  program=$home/apache-maven-$maven/bin/mvn
  chmod +x "$program"
}

options=(--batch-mode --no-transfer-progress)
use_settings() {
  echo "Using settings of $1"
  options+=(--settings "$2")
}
if [ -f .m2/settings.xml ]; then
  use_settings .m2/settings.xml .m2/settings.xml
elif [ -n "${MAVEN_SETTINGS_PATH:-}" ]; then
  use_settings MAVEN_SETTINGS_PATH "$MAVEN_SETTINGS_PATH"
elif [ -n "${MAVEN_SETTINGS_URL:-}" ]; then
  curl -sSf --retry 3 --connect-timeout 10 -L -o /tmp/settings.xml -- "$MAVEN_SETTINGS_URL"
  use_settings MAVEN_SETTINGS_URL /tmp/settings.xml
elif [ -f settings.xml ]; then
  use_settings settings.xml settings.xml
fi
if [ -n "$mirror" ]; then
  export MVNW_REPOURL="$mirror"
  escaped=${mirror//&/&amp;}
  escaped=${escaped//</&lt;}
  cat > /tmp/mirror.xml << XML
<settings><mirrors><mirror>
<id>host</id><mirrorOf>central</mirrorOf><url>$escaped</url>
</mirror></mirrors></settings>
XML
  options+=(--global-settings /tmp/mirror.xml)
fi

case $maven in
wrapper) program=/app/mvnw ;;
installed) program=$installed/bin/mvn ;;
*) fetch_maven ;;
esac
# A checkout may have lost the mark that makes it a program.
launch() { if [ "$maven" = wrapper ]; then sh "$program" "$@"; else "$program" "$@"; fi; }
goals=${MAVEN_CUSTOM_GOALS:-clean install} skips=${MAVEN_CUSTOM_OPTS:--DskipTests}
echo "\$ $(basename "$program") $skips $goals"
# shellcheck disable=SC2086
launch "${options[@]}" $skips $goals
list_programs target
