"""Run the ingress."""

from __future__ import annotations

from trunkline_chassis.lifecycle import run

from trunkline_ingress.app import NAME, service
from trunkline_ingress.settings import IngressSettings

if __name__ == "__main__":
    run(NAME, IngressSettings(), service, serves_http=True)
