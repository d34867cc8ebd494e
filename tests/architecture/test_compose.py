"""compose.yaml runs the same services as `trunkline up`; checked against the code, without pulling images."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_chassis.settings import ProcessSettings
from trunkline_cli.reference.permissions import nats_config
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
def test_command_is_a_module_of_the_project(name: str) -> None:
    """A typing error would fail only at deployment."""
    program, flag, module = OURS[name]["command"]
    assert (program, flag) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None


def test_every_specialty_of_the_demo_fleet_has_a_container() -> None:
    """One agents process per specialty, as the supervisor starts them."""
    specialties = {
        service["environment"]["TRUNKLINE_SPECIALTY"]
        for service in OURS.values()
        if "TRUNKLINE_SPECIALTY" in service["environment"]
    }
    assert specialties == set(load_fleet(ROOT / "fleet").specialties)


def test_every_service_and_server_has_a_container() -> None:
    """Six services, NATS, PostgreSQL and Milvus as real servers."""
    assert {service["command"][2] for service in OURS.values()} >= set(SETTINGS)
    assert set(SERVICES) >= {"nats", "postgres", "milvus", "provision"}


@pytest.mark.parametrize("name", [name for name in OURS if name != "provision"])
def test_settings_of_a_container_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is a setting of the process, and their values are valid together."""
    service = OURS[name]
    settings = SETTINGS[service["command"][2]]
    known = {f"TRUNKLINE_{field.upper()}" for field in settings.model_fields}
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, _given(value))
        if variable.startswith("TRUNKLINE_"):
            assert variable in known | {"TRUNKLINE_FLEET_DIR"}, variable
    settings()


def _given(value: str) -> str:
    """Return a value as without the operator's variable: the default of `${NAME:-default}`, else a secret."""
    if not value.startswith("${"):
        return value
    _, separator, default = value.removesuffix("}").partition(":-")
    return default if separator else "x" * 32


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_of_a_container_exist(name: str) -> None:
    """If a dependency must be healthy, it has a health check."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", OURS)
def test_container_connects_to_nats_as_its_own_service(name: str) -> None:
    """A user per service, so that the server can grant each one its rights only."""
    environment = OURS[name]["environment"]
    module = OURS[name]["command"][2].removeprefix("trunkline_")
    user = {"chassis.provision": "supervisor"}.get(module, module)
    assert environment["TRUNKLINE_NATS_USER"] == user
    assert environment["TRUNKLINE_NATS_PASSWORD"].startswith(f"${{NATS_PASSWORD_{user.upper()}:?")


def test_configuration_of_nats_is_valid_and_generated() -> None:
    """nats-server accepts the file, whose passwords come from the environment."""
    file = ROOT / "deploy" / "nats.conf"
    assert file.read_text(encoding="utf-8") == nats_config()
    names = set(re.findall(r"NATS_PASSWORD_\w+", yaml.safe_dump(SERVICES["nats"]["environment"])))
    assert names == set(re.findall(r"\$(NATS_PASSWORD_\w+),?$", nats_config(), flags=re.MULTILINE))
    command = [str(Path(sys.executable).parent / "nats-server"), "-t", "--config", str(file)]
    environment = dict.fromkeys(names, "p0123")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_server_is_reachable_from_its_own_service_alone() -> None:
    """A process that is taken over connects neither to the archive nor to the knowledge base of another one."""
    members: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for network in service.get("networks", ["default"]):
            members.setdefault(network, set()).add(name)
    assert members["archive"] == {"postgres", "audit"}
    assert members["knowledge"] == {"milvus", "rag"}
    assert not members["default"] & {"postgres", "milvus"}
    assert all(COMPOSE["networks"][name]["internal"] for name in ("archive", "knowledge"))


def test_metrics_without_access_control_are_on_no_published_port() -> None:
    """The ingress alone publishes a port, and has its metrics on another one."""
    assert [name for name in OURS if "ports" in SERVICES[name]] == ["ingress"]
    ingress = SERVICES["ingress"]
    assert not any(port.endswith(f":{ingress['environment']['TRUNKLINE_METRICS_PORT']}") for port in ingress["ports"])


def test_prometheus_scrapes_every_process() -> None:
    """A process that is missing from the file would have no alert."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = [job for job in config["scrape_configs"] if job["job_name"] == "trunkline"]
    targets = sorted(target for group in job["static_configs"] for target in group["targets"])
    ports = {
        name: service["environment"].get("TRUNKLINE_METRICS_PORT", service["environment"]["TRUNKLINE_HTTP_PORT"])
        for name, service in OURS.items()
        if name != "provision"
    }
    assert targets == sorted(f"{name}:{port}" for name, port in ports.items())


@pytest.mark.parametrize("name", OURS)
def test_process_gains_no_rights(name: str) -> None:
    """The image runs as an unprivileged user, and it stays that way."""
    if name != "provision":
        assert OURS[name]["cap_drop"] == ["ALL"]
        assert OURS[name]["security_opt"] == ["no-new-privileges:true"]


def test_container_has_the_secrets_of_its_own_service_alone() -> None:
    """Passwords of servers are in the server and in the one process that uses it."""
    holders: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for secret in re.findall(r"\$\{(\w+):\?", yaml.safe_dump(service.get("environment", {}))):
            holders.setdefault(secret, set()).add(name)
    assert holders["POSTGRES_PASSWORD"] == {"postgres"}
    assert holders["TRUNKLINE_POSTGRES_PASSWORD"] == {"postgres", "audit"}
    assert holders["MILVUS_PASSWORD"] == {"milvus", "rag"}
    assert holders["TRUNKLINE_AUDIT_SECRET"] == {"audit"}
    for secret in ("TRUNKLINE_RESUME_SECRET", "TRUNKLINE_AUTH_SECRET", "TRUNKLINE_OPERATOR_TOKEN"):
        assert holders[secret] == {"ingress"}


def test_file_contains_no_secret() -> None:
    """Secrets come from the environment, and compose refuses to start if one is missing."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for name in (
        *("TRUNKLINE_RESUME_SECRET", "TRUNKLINE_AUTH_SECRET", "TRUNKLINE_OPERATOR_TOKEN", "TRUNKLINE_AUDIT_SECRET"),
        *("POSTGRES_PASSWORD", "TRUNKLINE_POSTGRES_PASSWORD", "MILVUS_PASSWORD"),
    ):
        assert f"${{{name}:?" in text
