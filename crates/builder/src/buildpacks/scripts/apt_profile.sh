# Programs and libraries of packages below .apt are found, also where a config var has set another path.
landfall_apt_prepend() {
  local name=$1 folder=$2
  case ":${!name:-}:" in
  *":$folder:"*) ;;
  *) export "$name=$folder${!name:+:${!name}}" ;;
  esac
}
landfall_apt_triplet=$(uname -m)-linux-gnu
for landfall_apt_name in LD_LIBRARY_PATH LIBRARY_PATH; do
  landfall_apt_prepend "$landfall_apt_name" "$HOME/.apt/usr/lib"
  landfall_apt_prepend "$landfall_apt_name" "$HOME/.apt/usr/lib/$landfall_apt_triplet"
done
for landfall_apt_name in INCLUDE_PATH CPATH CPPPATH; do
  landfall_apt_prepend "$landfall_apt_name" "$HOME/.apt/usr/include/$landfall_apt_triplet"
  landfall_apt_prepend "$landfall_apt_name" "$HOME/.apt/usr/include"
done
landfall_apt_prepend PKG_CONFIG_PATH "$HOME/.apt/usr/lib/pkgconfig"
landfall_apt_prepend PKG_CONFIG_PATH "$HOME/.apt/usr/lib/$landfall_apt_triplet/pkgconfig"
landfall_apt_prepend PATH "$HOME/.apt/usr/sbin"
landfall_apt_prepend PATH "$HOME/.apt/usr/bin"
unset landfall_apt_name landfall_apt_triplet
unset -f landfall_apt_prepend
