"""Run the ingress."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings

from trunkline_ingress.app.service import NAME, service
from trunkline_ingress.settings import IngressSettings

if __name__ == "__main__":
    settings = load_settings(IngressSettings)
    run(NAME, settings, service, health=(settings.metrics_host, settings.metrics_port), watches_presences=True)
