#!/bin/sh
# Starts HAProxy for Ray Serve with its configuration tightened first: statistics, metrics and the
# admin socket are closed to other machines and users, and HAProxy's own errors are JSON. Spliced
# requests make HAProxy blind to a client that leaves before its answer has begun. Slow headers end,
# and headers by which clients would steer Ray Serve do not reach it (serving/bringup/edge.py writes
# both texts). Ray Serve finds this script through RAY_SERVE_HAPROXY_BINARY_PATH.
set -eu
config=""
previous=""
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then config="$argument"; fi
  previous="$argument"
done
if [ -n "$config" ] && [ -f "$config" ]; then
  sed -i \
    -e 's/^\( *bind \)\(\*\{0,1\}:\)\([0-9][0-9]*\)/\1127.0.0.1:\3/' \
    -e 's/mode 666 level admin/mode 600 level admin/' \
    -e '/option splice-request/d' \
    -e "s#^\( *errorfile 50[234] \).*#\1$GRAFTWORK_HAPROXY_ERRORS/503.http#" \
    "$config"
  if ! grep -q 'graftwork errors' "$config"; then
    sed -i \
      -e "/^defaults/r $GRAFTWORK_HAPROXY_ERRORS/defaults.cfg" \
      -e "/^frontend http_frontend/r $GRAFTWORK_HAPROXY_ERRORS/requests.cfg" \
      "$config"
  fi
fi
exec "$GRAFTWORK_HAPROXY" "$@"
