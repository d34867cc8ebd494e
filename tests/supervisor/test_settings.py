"""Settings of a suite: limits of its pools, and variables that have been renamed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from trunkline_chassis.settings import SettingsError
from trunkline_supervisor.app import pool_sizes
from trunkline_supervisor.settings import SuiteSettings

from tests.support.suite import trunkline

POOLS = ["ingress", "conversation", "agents", "llm_gateway", "rag"]


def settings(**values: int) -> SuiteSettings:
    """Make settings on a Milvus server, which allows several knowledge processes."""
    return SuiteSettings(milvus_uri="http://milvus:19530", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("pool", POOLS)
def test_maximum_below_the_minimum_is_refused(pool: str) -> None:
    """The error names both variables and both values."""
    name = f"TRUNKLINE_{pool.upper()}_PROCESSES"
    with pytest.raises(SettingsError, match=rf"^{name}_MAX \(2\) is below {name}_MIN \(3\)$"):
        settings(**{f"{pool}_processes_min": 3, f"{pool}_processes_max": 2})


@pytest.mark.parametrize("pool", POOLS)
def test_maximum_that_is_not_set_is_at_least_the_minimum(pool: str) -> None:
    """A larger minimum alone is valid."""
    sizes = pool_sizes(settings(**{f"{pool}_processes_min": 8}))
    assert getattr(sizes, pool) == (8, 8)


def test_ingress_has_a_fixed_size_unless_a_maximum_is_set() -> None:
    """Its default maximum is the minimum."""
    assert pool_sizes(settings(ingress_processes_min=1)).ingress == (1, 1)
    assert pool_sizes(settings(ingress_processes_min=1, ingress_processes_max=3)).ingress == (1, 3)


def test_embedded_milvus_has_one_knowledge_process() -> None:
    """Only one process may open its folder."""
    assert pool_sizes(SuiteSettings(rag_processes_min=3, rag_processes_max=3)).rag == (1, 1)


def test_minimum_of_zero_leaves_a_pool_to_other_nodes() -> None:
    """Its default maximum does not bring it back under load."""
    sizes = pool_sizes(SuiteSettings(conversation_processes_min=0, agents_processes_min=0, rag_processes_min=0))
    assert (sizes.conversation, sizes.agents, sizes.rag) == ((0, 0), (0, 0), (0, 0))
    assert pool_sizes(SuiteSettings(audit_processes=0)).audit == (0, 0)


@pytest.mark.parametrize(("cores", "processes"), [(2, (2, 3)), (4, (2, 3)), (8, (1, 3))])
def test_specialties_share_processes_on_few_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: tuple[int, int]
) -> None:
    """Two processes for all of them, so that the death of one delays no specialty."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    chosen = SuiteSettings()
    assert chosen.agents_are_together is (cores <= 4)
    assert pool_sizes(chosen).agents == processes
    assert SuiteSettings(agent_groups="together").agents_are_together
    assert not SuiteSettings(agent_groups="separate").agents_are_together
    assert pool_sizes(SuiteSettings(agents_processes_min=3)).agents == (3, 3)
    assert pool_sizes(SuiteSettings(agents_processes_max=1)).agents == (1, 1)


def test_suite_refuses_a_renamed_variable(tmp_path: Path) -> None:
    """`trunkline up` reports both names in one line and starts nothing."""
    done = subprocess.run(
        [trunkline(), "up", "--port", "0", "--data-dir", str(tmp_path / "data")],
        env={"TRUNKLINE_AGENT_PROCESSES_MOST": "4"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("trunkline: ")
    assert "TRUNKLINE_AGENT_PROCESSES_MOST is now TRUNKLINE_AGENTS_PROCESSES_MAX" in line
    assert not (tmp_path / "data").exists()
