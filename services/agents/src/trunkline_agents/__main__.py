"""Run an agents process."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_agents.app import NAME, service
from trunkline_agents.settings import AgentsSettings

if __name__ == "__main__":
    run(NAME, load_settings(AgentsSettings), service)
