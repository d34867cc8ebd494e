"""Handlers that the roll-outs of a fleet version and of a release have in common: show, pause, resume, abort."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Generic

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta
from trunkline_chassis.errors import FenceError
from trunkline_chassis.rollout_store import R, StoredRollout
from trunkline_protocols.rollout import RolloutAction

from trunkline_ingress.core.operators import ADMINS, VIEWERS
from trunkline_ingress.core.rollout.decisions import noted
from trunkline_ingress.handlers.access import Route, author_of, operators
from trunkline_ingress.handlers.http import body_of
from trunkline_ingress.operator_ports import RolloutStates
from trunkline_ingress.ports import LiveProcesses

_log: Final = structlog.get_logger(__name__)
_ALL: Final = 100


class RolloutSteps(msgspec.Struct, kw_only=True):
    """Steps of a roll-out, in the body of its start."""

    shares: Annotated[list[Annotated[int, Meta(ge=1, le=100)]], Meta(min_length=1, max_length=20)]
    """Shares of new conversations in percent, each greater than the one before; 100 follows by itself."""
    hold_s: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 600.0
    min_turns: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    slow_s: Annotated[float, Meta(gt=0, le=600)] = 1.0
    by: Annotated[str, Meta(min_length=1)] = "operator"
    note: str = ""

    def steps(self) -> dict[str, Any]:
        """Return the fields of the roll-out's state; raise `HTTPBadRequest` if the shares do not rise."""
        if sorted(set(self.shares)) != self.shares:
            raise web.HTTPBadRequest(text="shares: each must be greater than the one before")
        return {
            "shares": self.shares if self.shares[-1] == _ALL else [*self.shares, _ALL],
            "hold_s": self.hold_s,
            "min_turns": self.min_turns,
            "slow_s": self.slow_s,
        }


class RolloutChange(msgspec.Struct, kw_only=True):
    """Body of the changes of a running roll-out."""

    by: Annotated[str, Meta(min_length=1)] = "operator"


class RolloutHandlers(ABC, Generic[R]):
    """Handlers of one kind of roll-out; a subclass starts it."""

    __slots__ = ()

    path: ClassVar[str]
    noun: ClassVar[str]
    """Name of a candidate, in errors."""
    nothing_stored: ClassVar[str]
    """Error if there has never been a roll-out."""
    processes: LiveProcesses
    now: Callable[[], float]

    @property
    @abstractmethod
    def states(self) -> RolloutStates[R]:
        """Store of the state."""

    @abstractmethod
    async def start(self, request: web.Request) -> web.Response:
        """Store the state of a new roll-out; the controller does the rest."""

    @abstractmethod
    def status(self, rollout: R) -> web.Response:
        """Return the reply with a state."""

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("GET", self.path, self.show, operators(VIEWERS)),
            Route("POST", self.path, self.start, operators(ADMINS)),
            Route("POST", f"{self.path}/pause", self.pause, operators(ADMINS)),
            Route("POST", f"{self.path}/resume", self.resume, operators(ADMINS)),
            Route("POST", f"{self.path}/abort", self.abort, operators(ADMINS)),
        ]

    async def show(self, _: web.Request) -> web.Response:
        """Return the last roll-out, and the counts of its controller."""
        return self.status(self.existing(await self.states.read()))

    async def pause(self, request: web.Request) -> web.Response:
        """Keep the share; the candidate is still withdrawn if it is worse."""
        return await self._change(request, "paused", is_paused=True)

    async def resume(self, request: web.Request) -> web.Response:
        """Go on from the share of the pause."""
        return await self._change(request, "resumed", is_paused=False)

    async def abort(self, request: web.Request) -> web.Response:
        """Withdraw the candidate."""
        return await self._change(request, "withdrawn", phase="withdrawn", share=0)

    def existing(self, stored: StoredRollout[R]) -> R:
        """Return the stored state; raise `HTTPNotFound` without one."""
        if stored.rollout is None:
            unreadable = "the state of the last roll-out cannot be read"
            raise web.HTTPNotFound(text=unreadable if stored.revision else self.nothing_stored)
        return stored.rollout

    def observed(self, rollout: R) -> str:
        """Return the counts of the controller, empty without one."""
        key = f"roll-out of {rollout.candidate}"
        return next((each.detail[key] for each in self.processes.alive() if key in each.detail), "")

    async def put(self, rollout: R, after: StoredRollout[R]) -> web.Response:
        """Store a state and return its reply; raise `HTTPConflict` if another process changed it."""
        try:
            await self.states.put(rollout, after=after.revision)
        except FenceError as error:
            raise web.HTTPConflict(text="the roll-out has changed meanwhile, try again") from error
        last = rollout.decisions[-1]
        _log.info("rollout.changed", candidate=rollout.candidate, action=last.action, by=last.by)
        return self.status(rollout)

    async def _change(self, request: web.Request, action: RolloutAction, **changes: object) -> web.Response:
        body = await body_of(request, RolloutChange)
        stored = await self.states.read()
        rollout = self.existing(stored)
        if not rollout.is_active or rollout.phase == "finishing":
            raise web.HTTPConflict(text=f"the roll-out of {self.noun} {rollout.candidate} is {rollout.phase}")
        changed = msgspec.structs.replace(rollout, **changes)
        by = author_of(request, body.by)
        reason = "aborted by an operator" if action == "withdrawn" else ""
        return await self.put(noted(changed, action, at=self.now(), by=by, reason=reason), stored)
