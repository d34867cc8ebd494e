"""/metrics: figures of this process, for a Prometheus server with the key of an operator."""

from __future__ import annotations

from trunkline_chassis.health import serve_metrics

from trunkline_ingress.core.operators import VIEWERS
from trunkline_ingress.handlers.access import Route, operators


class MetricsOps:
    """Serves the metrics on the port of customers, where they need a key."""

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("GET", "/metrics", serve_metrics, operators(VIEWERS))]
