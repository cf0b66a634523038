# Publishes a .NET app. Arguments: ROOT CONFIGURATION PLACE; ROOT is a solution or project, PLACE where each project is published
# below its own directory.
set -euo pipefail
cd /app
case $(uname -m) in aarch64) runtime=linux-arm64 ;; *) runtime=linux-x64 ;; esac
export NUGET_PACKAGES=/cache/dotnet/packages DOTNET_CLI_HOME=/tmp/dotnet MSBUILDDISABLENODEREUSE=1
echo "\$ dotnet publish $1 --configuration $2 --runtime $runtime"
dotnet publish "$1" --configuration "$2" --runtime "$runtime" --self-contained false "-p:PublishDir=$3/" \
  --nologo --tl:off
