"""Files that people write may begin with a byte order mark: every border at which one is read drops it."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_cli.bench.rows import read_rows
from trunkline_cli.bench.texts import read_texts
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.folder_reader import read_fleet_folder
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_llm_gateway.settings import api_key
from trunkline_protocols.decoding import decode_toml
from trunkline_supervisor.adapters.provider_keys import key_variables
from trunkline_supervisor.adapters.secret_file import load_or_create_secret

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "examples" / "minimal-fleet"


def test_every_text_file_is_read_without_a_mark() -> None:
    """`utf-8` would keep it; files of the system are read as ASCII."""
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for folder in ("libs", "services", "cli")
        for file in (ROOT / folder).rglob("src/**/*.py")
        for match in re.finditer(r"\.read_text\(.*", file.read_text(encoding="utf-8"))
        if not re.match(r'\.read_text\((?:encoding="(?:utf-8-sig|ascii)"\))', match[0])
    ]
    assert found == []


def test_fleet_of_files_with_marks_is_loaded_and_has_no_findings(tmp_path: Path) -> None:
    """Definitions and articles; a finding has its line."""
    for file in MINIMAL.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(MINIMAL)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_fleet(tmp_path) == load_fleet(MINIMAL)
    assert check_folder(read_fleet_folder(tmp_path)) == check_folder(read_fleet_folder(MINIMAL))


def test_configuration_keys_secrets_and_rows_may_begin_with_a_mark(tmp_path: Path) -> None:
    """Each file of the operator."""
    file = tmp_path / "file"
    provider = 'name = "a"\nkind = "openai"\nbase_url = "http://127.0.0.1:1"\napi_key_env = "KEY"\nmodels = ["m"]\n'
    file.write_text(f"[[provider]]\n{provider}", encoding="utf-8-sig")
    assert [config.name for config in load_config(file).provider] == ["a"]
    assert key_variables(file) == {"KEY"}
    assert decode_toml("\ufeffname = 1", dict) == {"name": 1}
    file.write_text("secret\n", encoding="utf-8-sig")
    assert load_or_create_secret(file) == "secret"
    assert api_key(msgspec.structs.replace(load_config(None).provider[0], api_key_file=str(file))) == "secret"
    file.write_text('{"text": "Hello"}\n', encoding="utf-8-sig")
    assert read_rows(file, dict) == [{"text": "Hello"}]
    assert read_texts(file, MINIMAL) == [["Hello"]]


def test_mark_inside_of_a_file_is_no_mark(tmp_path: Path) -> None:
    """Only the first one is dropped."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"a": 1}\n\xef\xbb\xbf{"a": 2}\n')
    with pytest.raises(Exception, match=r"rows\.jsonl:2"):
        read_rows(file, dict)
