# Installs the packages of composer.lock. Argument: `packages`, which runs no script of the app and writes no autoloader,
# or `finish`, which does both and needs the source.
set -eu
cd /app
export COMPOSER_HOME=/tmp/composer COMPOSER_NO_INTERACTION=1 COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_MEMORY_LIMIT=-1
if [ -d /cache/php ]; then export COMPOSER_CACHE_DIR=/cache/php; fi
if [ -n "${COMPOSER_GITHUB_OAUTH_TOKEN:-}" ]; then
  composer config -g github-oauth.github.com "$COMPOSER_GITHUB_OAUTH_TOKEN" 2>/dev/null
fi
case $1 in
packages)
  # Plain files can be told apart by what Composer itself says of them; progress bars help nobody here.
  composer install --no-dev --prefer-dist --no-progress --no-scripts --no-autoloader
  ;;
finish)
  # What is not changed is not installed again: this makes the autoloader and runs the app's own scripts.
  composer install --no-dev --prefer-dist --no-progress --optimize-autoloader
  if php -r 'exit((int) !isset(json_decode(file_get_contents("composer.json"), true)["scripts"]["compile"]));'; then
    composer run-script --no-dev compile
  fi
  bin=$(composer config bin-dir)
  for server in apache2 nginx; do
    mkdir -p "$bin"
    rm -f "$bin/heroku-php-$server"
    ln -s "/app/.heroku/php/bin/heroku-php-$server" "$bin/heroku-php-$server"
  done
  ;;
esac
