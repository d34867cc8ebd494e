"""Run the audit service."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_audit.app import NAME, service
from trunkline_audit.settings import AuditSettings


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run(NAME, load_settings(AuditSettings), service)


if __name__ == "__main__":
    main()
