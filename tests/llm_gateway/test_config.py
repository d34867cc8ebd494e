"""Configuration: an invalid file is rejected with file, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from trunkline_llm_gateway.adapters.config_file import load_config
from trunkline_llm_gateway.adapters.simulated import SimulatedProvider
from trunkline_llm_gateway.core.config import DEFAULT_CONFIG, ConfigError, ProviderConfig, parse_config
from trunkline_llm_gateway.core.presets import PRESETS
from trunkline_llm_gateway.ports import Call
from trunkline_protocols.completion import Complete

GOOD = """
[[provider]]
name = "primary"
kind = "openai"
base_url = "http://127.0.0.1:9001/v1"
api_key_env = "PRIMARY_KEY"
models = ["small", "large"]
region = "eu"
max_concurrency = 64
input_cost_per_million = 0.15
output_cost_per_million = 0.60
connect_timeout_s = 2
first_token_timeout_s = 10
idle_timeout_s = 10
total_timeout_s = 60

[[provider]]
name = "backup"
kind = "extractive"

[[route]]
name = "default"
providers = ["backup", "primary"]
strategy = "priority"
"""


def test_route_orders_its_providers(tmp_path: Path) -> None:
    """An unknown route contains all providers in the order of the file."""
    file = tmp_path / "llm.toml"
    file.write_text(GOOD)
    config = load_config(file)
    assert config.route_of("default").providers == ["backup", "primary"]
    assert config.route_of("other").providers == ["primary", "backup"]


def test_extractive_provider_is_the_default() -> None:
    """Without a file neither key, model nor network are needed."""
    assert load_config(None) is DEFAULT_CONFIG


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('kind = "openai"', 'kind = "telepathy"', "kind"),
        ("max_concurrency = 64", "max_concurrency = 0", "max_concurrency"),
        ("idle_timeout_s = 10", "idle_timeout = 10", "idle_timeout"),
        ('name = "backup"', 'name = "primary"', "is defined twice"),
        ('"http://127.0.0.1:9001/v1"', '"localhost"', "base_url"),
        ('["small", "large"]', "[]", "models"),
        ('["backup", "primary"]', '["missing"]', "missing"),
        ("[[route]]", "[[route]", "line"),
        ('["backup", "primary"]', '["backup", "backup"]', r"route\[0\].providers: 'backup' is listed twice"),
        ('strategy = "priority"', 'strategy = "luck"', "strategy"),
        ('strategy = "priority"', 'strategy = "weighted"\nweights = [1]', r"route\[0\].weights: 2 are required"),
        ('strategy = "priority"', "weights = [1, 2]", r"route\[0\].weights: not supported by strategy 'priority'"),
        ('strategy = "priority"', "hedge_after_ms = -1", "hedge_after_ms"),
        ('"PRIMARY_KEY"', '"PRIMARY_KEY"\napi_key_file = "key"', r"provider\[0\].api_key_file"),
        ('kind = "openai"', 'preset = "telepathy"', r"provider\[0\].preset: must be one of: openai, "),
        ('kind = "openai"', 'kind = "openai"\npreset = 7', "preset"),
        ('"PRIMARY_KEY"', '"K"\nmax_tokens_field = "tokens"', "max_tokens_field"),
        ('"PRIMARY_KEY"', '"K"\nextra_body = { stream = false }', r"provider\[0\].extra_body: 'stream' is set by"),
        ('"PRIMARY_KEY"', '"K"\nextra_headers = { Authorization = "x" }', r"extra_headers: 'Authorization' is set by"),
        ('"PRIMARY_KEY"', '"K"\nextra_headers = { X-A = "a\\nb" }', r"extra_headers: 'X-A' is no valid header"),
        ("[[route]]", '[[budget]]\ntenant = "a"\nusd_per_day = 0\n[[route]]', "usd_per_day"),
        ("[[route]]", '[[budget]]\ntenant = "a"\nusd_per_day = 1\n' * 2 + "[[route]]", r"budget\[0\].tenant"),
    ],
)
def test_invalid_file_is_rejected_with_the_reason(tmp_path: Path, before: str, after: str, reason: str) -> None:
    """The error contains the file, and the key or the value."""
    file = tmp_path / "llm.toml"
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(ConfigError, match=reason) as failure:
        load_config(file)
    assert str(file) in str(failure.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_needs_a_name_and_a_model_only(preset: str) -> None:
    """Its values are valid; the provider's own keys win."""
    text = f'[[provider]]\nname = "p"\npreset = "{preset}"\nmodels = ["m"]\n'
    provider = parse_config(text, "llm.toml").provider[0]
    assert {name: getattr(provider, name) for name in PRESETS[preset]} == PRESETS[preset]
    own = parse_config(f'{text}base_url = "http://127.0.0.1:1/v1"\nsends_temperature = true\n', "llm.toml").provider[0]
    assert (own.base_url, own.sends_temperature) == ("http://127.0.0.1:1/v1", True)


async def test_simulated_provider_reports_its_exact_time() -> None:
    """A benchmark can subtract it; equal seeds give equal times."""
    config = ProviderConfig(
        name="sim",
        kind="simulated",
        first_token_ms_median=1.0,
        first_token_sigma=0.5,
        tokens_per_s=10_000.0,
        tokens_median=20.0,
    )
    pieces: list[str] = []

    async def keep(piece: str) -> None:
        pieces.append(piece)

    request = Complete(instructions="", text="How long?", abstain="I do not know.")
    first = await SimulatedProvider(config).complete(Call(request, ""), keep)
    again = await SimulatedProvider(config).complete(Call(request, ""), keep)
    assert first == again
    half = len(pieces) // 2
    assert pieces[:half] == pieces[half:]
    assert first.usage.output_tokens * 2 == len(pieces)
    assert first.model_ms == pytest.approx(first.first_token_ms + (first.usage.output_tokens - 1) / 10, abs=0.01)
