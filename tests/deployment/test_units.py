"""Templates of systemd units: no role stops those of another."""

from __future__ import annotations

from fnmatch import fnmatch

import yaml

from tests.support.monitoring import ROOT

ROLES = ROOT / "ansible" / "roles"
UNITS = "templates/etc/systemd/system"


def test_processes_that_are_stopped_belong_to_their_role() -> None:
    """A backup of PostgreSQL is a template unit too, and runs for hours."""
    own = ROLES / "trunkline"
    variables = yaml.safe_load((own / "vars/main.yml").read_text(encoding="utf-8"))
    assert "trunkline-\\1*@*.service" in variables["trunkline__unit_patterns"]
    assert "trunkline__unit_patterns" in (own / "tasks/processes.yml").read_text(encoding="utf-8")
    patterns = [f"trunkline-{service}*@*.service" for service in variables["trunkline__services"]]
    foreign = [unit.stem for unit in ROLES.glob(f"*/{UNITS}/*@.service.j2") if own not in unit.parents]
    assert "trunkline-postgres-backup@.service" in foreign
    caught = [unit for unit in foreign for pattern in patterns if fnmatch(unit.replace("@", "@1"), pattern)]
    assert not caught
