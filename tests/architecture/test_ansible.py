"""The roles of ansible/ have one shape, and name only variables and settings that exist. No host is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_chassis.provision import ProvisionSettings
from trunkline_chassis.settings import ProcessSettings
from trunkline_conversation.settings import ConversationSettings
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.settings import RagSettings

from tests.architecture.language import ROOT

ANSIBLE = ROOT / "ansible"
ROLES = sorted(path for path in (ANSIBLE / "roles").iterdir() if path.is_dir())
INVENTORIES = sorted(
    {file.parent for name in ("hosts.yml", "groups.yml") for file in (ANSIBLE / "inventories").rglob(name)}
)
GROUPS = {"ingress", "conversation", "agents", "rag", "llm_gateway", "audit", "broker", "postgres", "monitoring"}
SETTINGS: dict[str, type[ProcessSettings]] = {
    "agents": AgentsSettings,
    "audit": AuditSettings,
    "conversation": ConversationSettings,
    "ingress": IngressSettings,
    "llm_gateway": GatewaySettings,
    "provision": ProvisionSettings,
    "rag": RagSettings,
}
VARIABLE = re.compile(r"\b[a-z]+__[a-z_0-9]+\b")
SECRET = re.compile(r"_password|seed|\.key\b|\.env|_secret|_token")
CHECKED = (
    "nats.conf.j2",
    "accounts.conf.j2",
    "haproxy.cfg.j2",
    "patroni.yml.j2",
    "trunkline-service@.service.j2",
    "prometheus.yml.j2",
    "alertmanager.yml.j2",
)
"""Templates whose program can check a file before it is put in place."""


def load(file: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def tasks_of(role: Path) -> Iterator[dict[str, Any]]:
    """Yield the tasks of a role, those inside blocks too."""
    pending = [task for file in sorted((role / "tasks").glob("*.yml")) for task in load(file)]
    while pending:
        task = pending.pop()
        pending.extend(task.get("block", []))
        yield task


def texts() -> Iterator[str]:
    """Yield the text of every task, handler, template and variable file."""
    for pattern in ("roles/**/*.yml", "roles/**/*.j2", "inventories/**/*.yml", "*.yml"):
        for file in ANSIBLE.glob(pattern):
            yield file.read_text(encoding="utf-8")


def defined() -> set[str]:
    """Return the variables that a default, a task or an inventory sets."""
    names: set[str] = set()
    for text in texts():
        names |= set(re.findall(r"^\s*(?:register: )?([a-z]+__[a-z_0-9]+)(?::|$)", text, flags=re.MULTILINE))
    return names


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_has_the_shape(role: Path) -> None:
    """The first role that a reader knows explains the others."""
    for part in ("defaults", "tasks", "handlers", "meta"):
        assert (role / part / "main.yml").exists(), part
    assert load(role / "meta" / "main.yml")["galaxy_info"]["description"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_are_prefixed_and_commented(role: Path) -> None:
    """A name says which role it belongs to, and the file is the role's manual."""
    file = role / "defaults" / "main.yml"
    assert all(name.startswith(f"{role.name}__") for name in load(file))
    assert file.read_text(encoding="utf-8").count("# ") >= 1


def test_every_variable_is_defined() -> None:
    """A typing error in a template would fail on a host only."""
    used = {name for text in texts() for name in VARIABLE.findall(text)}
    assert used - defined() == set()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_template_lies_at_its_target_path(role: Path) -> None:
    """The listing of templates/ is the listing of the files that the role writes."""
    written = [task["ansible.builtin.template"] for task in tasks_of(role) if "ansible.builtin.template" in task]
    for arguments in written:
        source, target = arguments["src"].removesuffix(".j2"), arguments["dest"].removeprefix("/")
        if source != "etc/systemd/system/trunkline-service@.service":  # one template for all services
            assert source == target
        assert (role / "templates" / arguments["src"].split("{{")[0]).parent.exists()
        if Path(arguments["src"]).name in CHECKED:
            assert arguments.get("validate"), arguments["src"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_task_with_a_secret_is_not_logged(role: Path) -> None:
    """With `--diff` or `-v` a playbook would print it."""
    for task in tasks_of(role):
        for module in ("ansible.builtin.copy", "ansible.builtin.template", "ansible.builtin.command"):
            shown = {key: value for key, value in task.get(module, {}).items() if key in {"src", "content", "stdin"}}
            if SECRET.search(str(shown) + str(task.get("environment", ""))) or "patroni.yml.j2" in str(shown):
                assert task.get("no_log") is True, task["name"]


@pytest.mark.parametrize("service", SETTINGS)
def test_environment_names_settings_that_exist(service: str) -> None:
    """A process ignores an unknown variable, and its operator would not notice."""
    folder = ANSIBLE / "roles" / "trunkline" / "templates" / "etc" / "trunkline" / "env"
    names: set[str] = set()
    for name in (f"{service}.env.j2", "_common.j2"):
        names |= set(re.findall(r"^(TRUNKLINE_\w+)=", (folder / name).read_text(encoding="utf-8"), flags=re.MULTILINE))
    known = {f"TRUNKLINE_{field.upper()}" for field in SETTINGS[service].model_fields}
    assert names - known == set()


def test_included_template_is_followed_by_a_blank_line() -> None:
    """The newline after a tag is dropped: the next variable would become a part of the last value."""
    for file in ANSIBLE.glob("roles/**/*.j2"):
        for tag, following in re.findall(r"^({% include .* %})\n(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            assert following == "", f"{file.name}: {tag}"


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda inventory: inventory.name)
def test_inventory_sets_settings_that_exist(inventory: Path) -> None:
    """`trunkline__settings` is written into the environment as it stands."""
    for file in inventory.rglob("*.yml"):
        settings = (load(file) or {}).get("trunkline__settings", {})
        for service, variables in settings.items():
            fields = set().union(*(SETTINGS[each].model_fields for each in SETTINGS if service in {each, "all"}))
            assert set(variables) <= {f"TRUNKLINE_{field.upper()}" for field in fields}, file


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda inventory: inventory.name)
def test_inventory_lists_all_groups(inventory: Path) -> None:
    """A playbook names every group, and one that is missing would be skipped in silence."""
    files = [file for file in inventory.glob("*.yml") if "all" in (load(file) or {})]
    groups = {group for file in files for group in load(file)["all"].get("children", {})}
    assert groups == GROUPS


def test_every_service_has_an_environment_and_a_command() -> None:
    """The roles run the same services as `trunkline up`."""
    variables = load(ANSIBLE / "roles" / "trunkline" / "vars" / "main.yml")
    assert set(variables["trunkline__services"]) == set(SETTINGS) - {"provision"}
    assert set(variables["trunkline__counts"]) == set(variables["trunkline__services"])
    assert set(variables["trunkline__accounts"]) == set(SETTINGS)
