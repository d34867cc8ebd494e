#!/bin/sh
# What compose.yaml uses of the image of PostgreSQL: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, scripts that run once.
set -eu
data=/var/lib/postgresql/18/docker
if [ ! -s "$data/PG_VERSION" ]; then
    mkdir -p "$data"
    secret=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$secret"
    initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile="$secret" --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    rm "$secret"
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    pg_ctl --pgdata="$data" --wait --options="-c listen_addresses='' -k /tmp" start >/dev/null
    export PGHOST=/tmp
    [ "$POSTGRES_DB" = postgres ] || createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    for script in /docker-entrypoint-initdb.d/*.sh; do
        [ ! -e "$script" ] || sh "$script"
    done
    pg_ctl --pgdata="$data" --wait --mode=fast stop >/dev/null
fi
[ "$#" -gt 0 ] || set -- postgres
exec "$@" -D "$data" -c listen_addresses='*' -k /tmp
