"""Every documented variable can be set as text: each row of docs/configuration.md, read by its settings class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsError as SourceError
from trunkline_chassis.settings import settings_faults
from trunkline_cli.reference.configuration import SECTIONS, configuration

SECRET: Final = "a secret of thirty-two characters or more"
REQUIRED: Final = {"TRUNKLINE_RESUME_SECRET": SECRET, "TRUNKLINE_SPECIALTY": "billing"}
TEXTS: Final = {
    "TRUNKLINE_URL": "https://chat.example/support",
    "TRUNKLINE_AUTH_JWKS": "https://login.example/jwks",
    "TRUNKLINE_EDGE_HOSTS": "chat.example, desk.example",
    "TRUNKLINE_EDGE_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
    "TRUNKLINE_EDGE_UNLIMITED": "127.0.0.1",
    "TRUNKLINE_EDGE_EMBED_ORIGINS": "https://shop.example http://[::1]:8000",
    "TRUNKLINE_PATH_PREFIX": "/support",
    "TRUNKLINE_HTTP_HOST": "127.0.0.2",
    "TRUNKLINE_MCP_COMMANDS": '[["stock-mcp", "--read-only"]]',
    "TRUNKLINE_STREAM_LIMITS": '{"INBOX": {"max_age_s": 60.0}, "FLEET": {"max_bytes": -1, "compression": "s2"}}',
    "TRUNKLINE_STREAM_TAGS": '["region:eu"]',
    "TRUNKLINE_AUDIT_TSA_URL": "https://tsa.example/sign",
    "TRUNKLINE_TRACES_URL": "http://[::1]:4318/collector",
    "TRUNKLINE_SITES": '{"us": "https://chat.us.example"}',
    "TRUNKLINE_READER_ADDRESSES": '{"shop": "https://shop.example"}',
    "TRUNKLINE_SECRET_HOSTS": '{"shop-key": ["shop.example"]}',
}
"""Texts for variables whose value has a form of its own."""


class Row(NamedTuple):
    """A row of the table, and the class that reads it."""

    settings: type[BaseSettings]
    variable: str
    type: str


def rows() -> Iterator[Row]:
    """Yield the rows of the generated table."""
    settings: type[BaseSettings] | None = None
    for line in configuration().splitlines():
        if line.startswith("## "):
            settings = SECTIONS.get(line.removeprefix("## "))
        elif settings is not None and (row := re.match(r"\| `(\w+)` \| (.+?) \|", line)):
            yield Row(settings, row[1], row[2])


def texts_of(row: Row) -> Iterator[tuple[str, object]]:
    """Yield texts that an operator may set, with the values that they stand for."""
    if row.variable in TEXTS:
        text = TEXTS[row.variable]
        yield text, msgspec.json.decode(text) if row.type.startswith("JSON") else text
    elif choices := re.findall(r"`(\w+)`", row.type):
        for choice in choices:
            yield choice, int(choice) if choice.isdecimal() else choice
    else:
        yield from _texts_of_kind(*row.type.split(", "))


def _texts_of_kind(kind: str, *bounds: str) -> Iterator[tuple[str, object]]:
    lowest, highest = _limits(bounds)
    match kind:
        case "integer":
            yield str(int(lowest)), int(lowest)
            yield str(int(highest)), int(highest)
        case "number":
            yield f"{lowest + 0.5:g}", lowest + 0.5
        case "true or false":
            yield from {"true": True, "1": True, "False": False, "0": False}.items()
        case "secret":
            yield SECRET, SecretStr(SECRET)
        case "path":
            yield "/srv/some folder", Path("/srv/some folder")
        case "text":
            yield "some-text", "some-text"
        case "text or `*`":
            yield from {"some-text": "some-text", "*": "*"}.items()
        case _:
            raise AssertionError(f"no text for {kind}")


def _limits(bounds: Iterable[str]) -> tuple[float, float]:
    lowest, highest = 0.0, 1_000_000.0
    for bound in bounds:
        sign, number = bound.split(" ")
        if sign == "≤":
            highest = float(number)
        else:
            lowest = float(number)
    return lowest, highest


def read(row: Row) -> Any:
    """Read the settings and return the value of the row's variable."""
    try:
        return _plain(getattr(row.settings(), row.variable.removeprefix("TRUNKLINE_").lower()))
    except ValidationError as error:
        raise AssertionError(settings_faults(error)) from None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True)
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


ROWS: Final = list(rows())


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)


def test_table_has_every_setting() -> None:
    """The parser of the table loses no row."""
    assert len(ROWS) > 100
    assert {row.settings for row in ROWS} == set(SECTIONS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.settings.__name__}.{row.variable}")
def test_variable_is_read_from_text(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has only texts; each of them is the documented value."""
    maximum = row.variable.replace("_MIN", "_MAX")
    for text, value in texts_of(row):
        monkeypatch.setenv(row.variable, text)
        if maximum != row.variable and text != "0":
            # A maximum below the minimum is refused.
            monkeypatch.setenv(maximum, text)
        if row.variable.endswith("_PROCESSES_MAX"):
            monkeypatch.setenv(row.variable.replace("_MAX", "_MIN"), "1")
        assert read(row) == value, text


NUMBERS: Final = [row for row in ROWS if row.type.startswith(("integer", "number"))]


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: f"{row.settings.__name__}.{row.variable}")
@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf", "1e999"])
def test_number_that_is_not_one_is_refused(row: Row, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinity is no timeout; the line names the variable and not its value."""
    monkeypatch.setenv(row.variable, text)
    with pytest.raises(ValidationError) as raised:
        row.settings()
    [fault] = settings_faults(raised.value)
    assert fault.startswith(f"{row.variable}: ")
    assert "many" not in fault


@pytest.mark.parametrize("text", ["canary", '{"INBOX": {"max_age_s": 1e999}}', '{"INBOX": {"canary": 1}}'])
def test_json_that_is_not_valid_is_named_without_its_value(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that is not JSON too, which the source of the environment refuses before any field is checked."""
    monkeypatch.setenv("TRUNKLINE_STREAM_LIMITS", text)
    with pytest.raises((ValidationError, SourceError)) as raised:
        SECTIONS["Every process"]()
    assert isinstance(raised.value, ValidationError | SourceError)
    [fault] = settings_faults(raised.value)
    assert fault.startswith("TRUNKLINE_STREAM_LIMITS")
    assert "1e999" not in fault


@pytest.mark.parametrize("text", ["2", "three", "", "3.0"])
def test_choice_that_does_not_exist_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is compared with the choices, not converted."""
    monkeypatch.setenv("TRUNKLINE_REPLICAS", text)
    with pytest.raises(ValidationError) as raised:
        SECTIONS["Every process"]()
    assert settings_faults(raised.value) == ["TRUNKLINE_REPLICAS: Input should be 1, 3 or 5"]
