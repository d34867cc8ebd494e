"""Each process gets its own variables and no secret of another one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_conversation.settings import ConversationSettings
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.settings import RagSettings
from trunkline_supervisor.adapters.child_process import LocalLauncher
from trunkline_supervisor.adapters.provider_keys import key_variables
from trunkline_supervisor.core.blueprint import ProcessSpec
from trunkline_supervisor.core.environments import SETTINGS, own_environment

SERVICES: dict[str, type[BaseSettings]] = {
    "agents": AgentsSettings,
    "audit": AuditSettings,
    "conversation": ConversationSettings,
    "ingress": IngressSettings,
    "llm_gateway": GatewaySettings,
    "rag": RagSettings,
}
SECRETS = {
    "TRUNKLINE_AUTH_SECRET": {"ingress"},
    "TRUNKLINE_RESUME_SECRET": {"ingress"},
    "TRUNKLINE_AUDIT_SECRET": {"audit"},
    "TRUNKLINE_OPERATOR_TOKEN": {"ingress"},
    "TRUNKLINE_SECRET_SHOP_KEY": {"agents"},
    "TRUNKLINE_POSTGRES_DSN": {"audit"},
    "PGPASSWORD": {"audit"},
    "TRUNKLINE_MILVUS_TOKEN": {"rag"},
    "AWS_SECRET_ACCESS_KEY": {"audit", "rag"},
    "TRUNKLINE_EMBEDDER_KEY": {"agents", "rag"},
    "TRUNKLINE_UNKNOWN": set(),
    "GITHUB_TOKEN": set(),
    "SSH_AUTH_SOCK": set(),
}


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_of_a_service_reaches_it(service: str) -> None:
    """A setting that is missing from the list would be ignored in silence: add it to `core/environments.py`."""
    variables = {f"TRUNKLINE_{field.upper()}": "1" for field in SERVICES[service].model_fields}
    assert own_environment(service, variables) == variables


@pytest.mark.parametrize("service", SETTINGS)
def test_list_has_no_name_that_is_no_setting(service: str) -> None:
    """A name that was left behind would pass on a variable that has another meaning later."""
    known = [name.upper() for name in SERVICES[service].model_fields] if service in SERVICES else []
    families = {"SECRET_*", "AUTH_*", "OPERATOR_*", "RESUME_*", "NATS_*", "LLM_*", "MILVUS_*", "POSTGRES_*"}
    for pattern in set(SETTINGS[service]) - families:
        beginning = pattern.removesuffix("*")
        assert any(name.startswith(beginning) if pattern.endswith("*") else name == pattern for name in known), pattern


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_reaches_its_service_alone(secret: str) -> None:
    """In any case of letters, which settings do not distinguish."""
    for name in (secret, secret.lower()):
        assert {service for service in SETTINGS if own_environment(service, {name: "x"})} == SECRETS[secret]


def test_unknown_service_gets_the_variables_of_the_system_alone() -> None:
    """A list that was forgotten fails closed."""
    assert own_environment("other", {"PATH": "/bin", "TRUNKLINE_AUTH_SECRET": "x"}) == {"PATH": "/bin"}


def test_keys_that_the_model_configuration_names_reach_the_gateway_alone(tmp_path: Path) -> None:
    """Their names are the operator's choice."""
    config = tmp_path / "llm.toml"
    config.write_text('[[providers]]\nname = "a"\napi_key_env = "KEY_A"\n[other.inner]\napi_key_env = "KEY_B"\n')
    named = key_variables(config)
    assert named == {"KEY_A", "KEY_B"}
    environment = {"KEY_A": "x", "KEY_C": "y"}
    assert own_environment("llm_gateway", environment, named=named) == {"KEY_A": "x"}
    config.write_text("no toml")
    assert key_variables(config) == key_variables(tmp_path / "missing") == key_variables(None) == frozenset()


async def test_process_has_its_own_environment_and_private_files(tmp_path: Path) -> None:
    """The kernel's view of a started process; its log is closed to other accounts even if it existed open."""
    program = (
        "import os; open('made', 'w').close(); os.mkdir('folder');"
        "print(sorted(k for k in os.environ if 'X' in k), flush=True)"
    )
    code = f"import os; os.chdir({str(tmp_path)!r}); {program}"
    inherited = {"PATH": os.environ["PATH"], "TRUNKLINE_AUTH_SECRET": "X", "XAUTHORITY": "x"}
    launcher = LocalLauncher(inherited, tmp_path)
    log = tmp_path / "one.log"
    log.touch(mode=0o666)
    log.chmod(0o666)
    spec = ProcessSpec("audit", "one", [sys.executable, "-c", code], {"TRUNKLINE_XY": "1"})
    child = launcher.create(spec, may_restart=lambda _: False)
    await child.start()
    await child.keep_alive()
    assert log.read_text().strip() == "['TRUNKLINE_XY']"
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("one.log", "made", "folder")}
    assert modes == {"one.log": 0o640, "made": 0o600, "folder": 0o700}
