"""Trainer of the routing: a separate process, since the training library would cost every agents process 190 MiB.

    python -m trunkline_agents.train FLEET_FILE VERSION OUTPUT

Trains the fleet's routing with the embedder configured in the environment and writes the artefact. If that fails, the
reason is on stderr, without messages of libraries.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trunkline_chassis.logs import reason_of
from trunkline_protocols.decoding import decode
from trunkline_protocols.fleet import Fleet

from trunkline_agents.adapters.package_data import built_in_examples
from trunkline_agents.core.routing.artefact import encode
from trunkline_agents.core.routing.training import train
from trunkline_agents.settings import RoutingSettings


def _run(source: str, version: str, output: str) -> None:
    fleet = decode(Path(source).read_bytes(), Fleet)
    embedder = RoutingSettings().routing_embedder()
    model = train(fleet, version, embedder.embed if embedder else None, built_in=built_in_examples())
    Path(output).write_bytes(encode(model))


if __name__ == "__main__":
    try:
        _run(*sys.argv[1:])
    except Exception as error:  # the parent process logs it, and a library's message may quote its input
        sys.exit(reason_of(error))
