# Builds a Gradle app. Follows java_common.sh. Arguments: GRADLE TASKS MIRROR; GRADLE is the directory of a Gradle, TASKS what
# is built where there is no task `stage`, MIRROR an address that stands for the central repository, or empty.
gradle=$1 tasks=$2 mirror=$3
export GRADLE_USER_HOME=/cache/gradle
export GRADLE_OPTS="-Dorg.gradle.daemon=false -Dorg.gradle.welcome=never${GRADLE_OPTS:+ $GRADLE_OPTS}$(proxy_options)"
options=(--console=plain --no-daemon --project-cache-dir /cache/gradle/project)
if [ -n "$mirror" ]; then
  export LANDFALL_MAVEN_MIRROR="$mirror"
  cat > /tmp/mirror.gradle << 'GROOVY'
// What `mavenCentral()` adds, here by the name that Gradle gives it, is fetched from the host's mirror.
def redirect = { handler ->
    handler.withType(MavenArtifactRepository) { repository ->
        if (repository.name.startsWith('MavenRepo')) repository.setUrl(System.getenv('LANDFALL_MAVEN_MIRROR'))
    }
}
settingsEvaluated { settings ->
    if (settings.hasProperty('dependencyResolutionManagement')) {
        redirect(settings.pluginManagement.repositories)
        redirect(settings.dependencyResolutionManagement.repositories)
    }
}
allprojects {
    redirect(buildscript.repositories)
    redirect(repositories)
}
GROOVY
  options+=(--init-script /tmp/mirror.gradle)
fi
launch() { "$gradle/bin/gradle" "${options[@]}" "$@"; }

if [ -n "${GRADLE_TASK:-}" ]; then
  tasks=$GRADLE_TASK
else
  # Only the build itself knows its tasks; what it says on the way is not the app's build.
  if ! launch --quiet tasks --all > /tmp/tasks 2> /tmp/tasks.log; then
    cat /tmp/tasks /tmp/tasks.log
    exit 1
  fi
  if grep -qE '^stage( |$)' /tmp/tasks; then tasks=stage; fi
fi
echo "\$ gradle $tasks"
# shellcheck disable=SC2086
launch $tasks
set +f
list_programs build/libs ./*/build/libs
set +f
for script in build/install/*/bin/* ./*/build/install/*/bin/*; do
  case $script in *.bat) continue ;; esac
  if [ -x "$script" ]; then printf '%s\n' "$script"; fi
done > .heroku/java/scripts
