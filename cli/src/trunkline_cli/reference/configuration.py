"""Generator of docs/configuration.md: every environment variable, from the settings classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from trunkline_agents.settings import AgentsSettings
from trunkline_audit.settings import AuditSettings
from trunkline_chassis.provision import ProvisionSettings
from trunkline_chassis.settings import RENAMED, ProcessSettings
from trunkline_conversation.settings import ConversationSettings
from trunkline_embedding.settings import EmbedderSettings
from trunkline_ingress.settings import IngressSettings
from trunkline_llm_gateway.settings import GatewaySettings
from trunkline_rag.settings import RagSettings
from trunkline_supervisor.settings import SuiteSettings

from trunkline_cli.reference.model_providers import model_providers
from trunkline_cli.settings import ClientSettings

SECTIONS: Final[dict[str, type[BaseSettings]]] = {
    "Suite (`trunkline up`)": SuiteSettings,
    "Every process": ProcessSettings,
    "Ingress": IngressSettings,
    "Conversation": ConversationSettings,
    "Agents": AgentsSettings,
    "Knowledge (rag)": RagSettings,
    "Embedding (agents, rag, `trunkline bench`)": EmbedderSettings,
    "LLM gateway": GatewaySettings,
    "Audit": AuditSettings,
    "Provisioning (`python -m trunkline_chassis.provision`)": ProvisionSettings,
    "Command line": ClientSettings,
}
_TYPES: Final[dict[type[object], str]] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret",
}
_JSON_TYPES: Final[dict[object, str]] = {list: "JSON list", dict: "JSON object"}
"""Settings of these types are read from the environment as JSON."""

_OPENING: Final = """\
# Configuration

Every setting is an environment variable; only model providers are configured in a file. Generated from the code by
`./just docs`.

`trunkline up` passes to each process the variables of its own section, so a variable of any section can be set for the
whole suite; variables that it computes itself (addresses, instance names) override inherited ones. If a value is
invalid, the process exits with one line that names the variable. Settings of an agent, an article or a tool are part of
the fleet, see [fleet/README.md](../fleet/README.md); model providers are configured in the TOML file that
`TRUNKLINE_LLM_CONFIG` names, see [below](#model-providers-file-of-trunkline_llm_config) and
[examples/README.md](../examples/README.md).
"""
_SECRETS: Final = """
## Secrets of tools and model providers

| variable | meaning |
|---|---|
| `TRUNKLINE_SECRET_<NAME>` | Value of the secret `<name>` that a tool of the fleet refers to; sent to its hosts in \
`TRUNKLINE_SECRET_HOSTS` only |
| named by `api_key_env` | API key of a model provider; `api_key_file` reads it from a file instead |
"""
_RENAMED: Final = """
## Renamed variables

If an old name is set, every process and command exits with one line that has the new one.

| old | new |
|---|---|"""


def configuration() -> str:
    """Return the whole file."""
    return "\n".join(_lines()) + "\n"


def variables() -> set[str]:
    """Return the names of all variables."""
    return {_variable(settings, name) for settings in SECTIONS.values() for name in settings.model_fields}


def _lines() -> Iterator[str]:
    yield _OPENING.rstrip()
    for title, settings in SECTIONS.items():
        yield f"\n## {title}\n"
        yield "| variable | type | default | meaning |"
        yield "|---|---|---|---|"
        for name, field in _own_fields(settings).items():
            cells = (f"`{_variable(settings, name)}`", _type_of(field), _default_of(field), field.description or "")
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield from model_providers()
    yield _SECRETS.rstrip()
    yield _RENAMED
    for old, new in RENAMED.items():
        yield f"| `{old}` | `{new}` |"


def _own_fields(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Return the fields of a section, without those that it inherits from another section."""
    inherited = {
        name
        for base in SECTIONS.values()
        if base is not settings and issubclass(settings, base)
        for name in base.model_fields
    }
    declared = settings.__annotations__
    return {name: field for name, field in settings.model_fields.items() if name in declared or name not in inherited}


def _variable(settings: type[BaseSettings], field: str) -> str:
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def _type_of(field: FieldInfo) -> str:
    return _describe(field.annotation) + _bounds_of(field)


def _describe(annotation: Any) -> str:  # noqa: ANN401 - annotations have no common type
    if get_origin(annotation) is Annotated:
        return _describe(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in {Union, UnionType}:
        return " or ".join(_describe(member) for member in get_args(annotation) if member is not NoneType)
    if get_origin(annotation) in _JSON_TYPES:
        return _JSON_TYPES[get_origin(annotation)]
    if annotation not in _TYPES:
        raise TypeError(f"no description for {annotation}")
    return _TYPES[annotation]


def _bounds_of(field: FieldInfo) -> str:
    bounds: list[str] = []
    for item in field.metadata:
        match item:
            case Ge(ge=bound):
                bounds.append(f"≥ {bound}")
            case Gt(gt=bound):
                bounds.append(f"> {bound}")
            case Le(le=bound):
                bounds.append(f"≤ {bound}")
            case Lt(lt=bound):
                bounds.append(f"< {bound}")
            case _:
                pass
    return "".join(f", {bound}" for bound in bounds)


def _default_of(field: FieldInfo) -> str:
    """Return the default as text; empty if it is unset or described by the meaning."""
    if field.default_factory in _JSON_TYPES:
        return ""
    if field.default_factory is not None:
        return "computed"
    match field.default:
        case None | "":
            return ""
        case SecretStr() as secret:
            return "set" if secret.get_secret_value() else ""
        case bool(value):
            return f"`{str(value).lower()}`"
        case Path() as path:
            return f"`{path.as_posix()}`"
        case list() | dict() as value:
            return f"`{json.dumps(value)}`"
        case default if default is PydanticUndefined:
            return "required"
        case default:
            return f"`{default}`"
