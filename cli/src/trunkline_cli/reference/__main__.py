"""Entry point of `./just docs`: write the reference into docs/ and deploy/."""

from __future__ import annotations

from pathlib import Path

from trunkline_cli.reference.asyncapi import asyncapi
from trunkline_cli.reference.configuration import configuration
from trunkline_cli.reference.markdown import markdown
from trunkline_cli.reference.permissions import nats_config
from trunkline_cli.reference.telemetry import telemetry

if __name__ == "__main__":
    folder = Path("docs")
    (folder / "messages.md").write_text(markdown(), encoding="utf-8")
    (folder / "asyncapi.json").write_bytes(asyncapi())
    (folder / "configuration.md").write_text(configuration(), encoding="utf-8")
    (folder / "telemetry.md").write_text(telemetry(), encoding="utf-8")
    Path("deploy/nats.conf").write_text(nats_config(), encoding="utf-8")
