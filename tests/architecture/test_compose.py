"""compose.yaml runs the suite of `trunkline up`: checked against the code, since images cannot always be pulled."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.settings import ProcessSettings
from trunkline_conversation.settings import ConversationSettings
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.settings import RagSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "trunkline"}
SETTINGS: dict[str, type[ProcessSettings]] = {
    "trunkline_agents": AgentsSettings,
    "trunkline_audit": AuditSettings,
    "trunkline_conversation": ConversationSettings,
    "trunkline_ingress": IngressSettings,
    "trunkline_llm_gateway": GatewaySettings,
    "trunkline_rag": RagSettings,
}


@pytest.mark.parametrize("name", OURS)
def test_command_is_a_module_of_ours(name: str) -> None:
    """A typing error would show only in a cluster."""
    program, flag, module = OURS[name]["command"]
    assert (program, flag) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None


def test_every_specialty_of_the_demo_fleet_has_its_process() -> None:
    """As the supervisor starts them."""
    specialties = {
        service["environment"]["TRUNKLINE_SPECIALTY"]
        for service in OURS.values()
        if "TRUNKLINE_SPECIALTY" in service["environment"]
    }
    assert specialties == set(load_fleet(ROOT / "fleet").specialties)


def test_every_service_and_every_server_is_there() -> None:
    """Six services, NATS, PostgreSQL and Milvus as real servers."""
    assert {service["command"][2] for service in OURS.values()} >= set(SETTINGS)
    assert set(SERVICES) >= {"nats", "postgres", "milvus", "provision"}


@pytest.mark.parametrize("name", [name for name in OURS if name != "provision"])
def test_settings_of_a_container_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is one that the process knows, and together they make valid settings."""
    service = OURS[name]
    settings = SETTINGS[service["command"][2]]
    known = {f"TRUNKLINE_{field.upper()}" for field in settings.model_fields}
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, "x" * 32 if value.startswith("${") else value)
        if variable.startswith("TRUNKLINE_"):
            assert variable in known | {"TRUNKLINE_FLEET_DIR"}, variable
    settings()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_waits_for_exists(name: str) -> None:
    """And a condition of health needs a health check."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


def test_no_secret_stands_in_the_file() -> None:
    """They come from the environment, and a missing one stops the start."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for name in ("TRUNKLINE_RESUME_SECRET", "TRUNKLINE_AUTH_SECRET", "TRUNKLINE_OPERATOR_TOKEN", "POSTGRES_PASSWORD"):
        assert f"${{{name}:?" in text
