#!/bin/sh
# Becomes the server, with the arguments given, as a user that owns nothing but its data.
set -eu

case ${1:-redis-server} in
redis-server) [ "$#" = 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac
chown redis:redis /data
exec setpriv --reuid=redis --regid=redis --init-groups \
    redis-server --protected-mode no --dir /data "$@"
