"""docs/configuration.md: every variable of the code, with type, default and meaning."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings
from trunkline_chassis.settings import RENAMED
from trunkline_cli.reference.configuration import configuration, variables

ROOT = Path(__file__).parents[2]
PAGE = configuration()


def settings_classes() -> Iterator[type[BaseSettings]]:
    """Yield the settings classes of all packages, found by their modules."""
    for file in sorted(ROOT.glob("*/**/src/**/*.py")):
        if file.name == "settings.py" or "Settings(" in file.read_text(encoding="utf-8"):
            package = file.relative_to(next(parent for parent in file.parents if parent.name == "src"))
            module = importlib.import_module(".".join(package.with_suffix("").parts))
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__:
                    yield value


CLASSES = [
    settings
    for settings in settings_classes()
    # Variables of another prefix are given by the system, not set by an operator.
    if settings.model_fields and settings.model_config.get("env_prefix") == "TRUNKLINE_"
]


def test_all_packages_have_settings() -> None:
    """The search for classes finds those of every service."""
    packages = {settings.__module__.split(".")[0] for settings in CLASSES}
    assert packages >= {
        f"trunkline_{name}" for name in ("agents", "audit", "chassis", "cli", "conversation", "ingress")
    }
    assert packages >= {f"trunkline_{name}" for name in ("embedding", "llm_gateway", "rag", "supervisor")}


@pytest.mark.parametrize("settings", CLASSES, ids=lambda settings: settings.__name__)
def test_every_variable_is_documented(settings: type[BaseSettings]) -> None:
    """A row with a meaning for every field; the page knows no other variables."""
    for name, field in settings.model_fields.items():
        variable = f"TRUNKLINE_{name.upper()}"
        assert f"\n| `{variable}` |" in PAGE
        assert variable in variables()
        assert field.description, variable


def test_page_has_no_unknown_variable() -> None:
    """A setting that was removed disappears from the page."""
    fields = {f"TRUNKLINE_{name.upper()}" for settings in CLASSES for name in settings.model_fields}
    assert variables() <= fields


def test_types_and_defaults_are_readable() -> None:
    """Bounds, choices, optional values and secrets are shown; a secret has no value on the page."""
    assert "| `TRUNKLINE_AUDIT_BATCH_SIZE` | integer, ≥ 1, ≤ 5000 | `500` |" in PAGE
    assert "| `TRUNKLINE_LOG_FORMAT` | `json` or `console` | `json` |" in PAGE
    assert "| `TRUNKLINE_NODES` | `1` or `3` |  |" in PAGE
    assert "| `TRUNKLINE_RESUME_SECRET` | secret | required |" in PAGE
    assert "| `TRUNKLINE_OPERATOR_TOKEN` | secret |  |" in PAGE
    assert "pydantic" not in PAGE
    assert "typing." not in PAGE


def test_renamed_variables_are_listed() -> None:
    """Each former name with its present name, which exists."""
    for old, new in RENAMED.items():
        assert f"| `{old}` | `{new}` |" in PAGE
        assert new in variables()
        assert old not in variables()
