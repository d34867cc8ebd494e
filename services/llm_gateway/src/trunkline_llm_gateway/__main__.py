"""Entry point of the LLM gateway process."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_llm_gateway.app import NAME, service
from trunkline_llm_gateway.settings import GatewaySettings

if __name__ == "__main__":
    run(NAME, load_settings(GatewaySettings), service)
