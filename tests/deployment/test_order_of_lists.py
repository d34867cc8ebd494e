"""Lists in files of a host keep their order, so that a second run changes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROLES = Path(__file__).parents[2] / "ansible" / "roles"
FILES = [
    *ROLES.glob("*/templates/**/*.j2"),
    *(file for folder in ("defaults", "vars", "handlers") for file in ROLES.glob(f"*/{folder}/*.yml")),
]
SET_FILTER = re.compile(r"\|\s*(?:symmetric_)?(?:difference|intersect|union)\((?!.*\|\s*(?:sort|length)\b)")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROLES)))
def test_no_list_goes_through_a_set(file: Path) -> None:
    """Filters of sets return their elements in another order in each run: `reject('in', …)` keeps it."""
    assert [line for line in file.read_text("utf-8").splitlines() if SET_FILTER.search(line)] == []
