"""Creation of pools: children are launched, kept alive and monitored until the suite stops."""

from __future__ import annotations

from collections.abc import Callable

from trunkline_protocols.presence import ProcessState

from trunkline_supervisor.application.health_monitor import HealthMonitor
from trunkline_supervisor.application.lifetime import Lifetime
from trunkline_supervisor.application.pool import Pool
from trunkline_supervisor.core.blueprint import PoolSpec, ProcessSpec
from trunkline_supervisor.ports import Child, PeerPublisher, ProcessLauncher, ServerPlan


class PoolFactory:
    """Creates pools of servers and of services."""

    def __init__(self, launcher: ProcessLauncher, monitor: HealthMonitor, lifetime: Lifetime) -> None:
        """Share one launcher and one monitor between all pools."""
        self._launcher = launcher
        self._monitor = monitor
        self._lifetime = lifetime

    def server(self, plan: ServerPlan) -> Pool:
        """Create an empty pool for one server, so that a crash loop gives up this server alone."""

        def create(spec: ProcessSpec, may_restart: Callable[[str], bool]) -> Child:
            return self._launcher.create(spec, may_restart=may_restart, prepare=plan.prepare)

        def supervise(child: Child) -> None:
            self._lifetime.spawn_finite(child.keep_alive())
            self._lifetime.spawn(self._monitor.watch_server(child, plan.probe, plan.timeout_s))

        return Pool(plan.spec.instance, plan.spec.service, create=create, supervise=supervise)

    def service(self, spec: PoolSpec, peers: PeerPublisher) -> Pool:
        """Create an empty pool of service processes whose deaths are published to `peers`."""

        def create(spec: ProcessSpec, may_restart: Callable[[str], bool]) -> Child:
            def on_death(reason: str) -> bool:
                restarts = may_restart(reason)
                state: ProcessState = "restarting" if restarts else "failed"
                self._lifetime.spawn_finite(peers.publish_death(spec.instance, state))
                return restarts

            return self._launcher.create(spec, may_restart=on_death)

        def supervise(child: Child) -> None:
            self._lifetime.spawn_finite(child.keep_alive())
            self._lifetime.spawn(self._monitor.watch_service(child))

        return Pool(spec.name, spec.service, create=create, supervise=supervise, spec=spec)
