"""Run the knowledge service."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_rag.app import NAME, service
from trunkline_rag.settings import RagSettings

if __name__ == "__main__":
    run(NAME, load_settings(RagSettings), service)
