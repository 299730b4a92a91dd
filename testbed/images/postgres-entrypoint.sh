#!/bin/sh
# Makes a cluster if there is none, and becomes its server, with the arguments given.
set -eu

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups /bin/sh "$0" "$@"
fi

case ${1:-postgres} in
postgres) [ "$#" = 0 ] || shift ;;
-*) ;;
*) exec "$@" ;;
esac

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?set it: the superuser needs a password}"
    umask 077
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata="$PGDATA" --username="${POSTGRES_USER:-postgres}" --pwfile=/tmp/password \
        --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
