#!/bin/sh
# Starts HAProxy for Ray Serve with its configuration tightened first: statistics, metrics and the
# admin socket are closed to other machines and users, and HAProxy's own errors are JSON. Spliced
# requests make HAProxy blind to a client that leaves before its answer has begun.
# Ray Serve finds this script through RAY_SERVE_HAPROXY_BINARY_PATH.
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
    sed -i "/^defaults/a\\
    # graftwork errors\\
    errorfile 400 $GRAFTWORK_HAPROXY_ERRORS/400.http\\
    errorfile 408 $GRAFTWORK_HAPROXY_ERRORS/408.http\\
    errorfile 500 $GRAFTWORK_HAPROXY_ERRORS/500.http" "$config"
  fi
fi
exec "$GRAFTWORK_HAPROXY" "$@"
