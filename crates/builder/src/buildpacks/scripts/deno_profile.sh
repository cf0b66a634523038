# Servers of Deno.serve() listen where the router looks, whatever port they name; unless it is set.
if [ -n "${PORT:-}" ]; then
  export DENO_SERVE_ADDRESS=${DENO_SERVE_ADDRESS:-tcp:0.0.0.0:$PORT}
fi
