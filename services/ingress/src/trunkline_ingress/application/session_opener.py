"""Opening of sessions: a new conversation, or one that a client resumes on a new socket."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog
from trunkline_chassis.errors import BusError
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.frames import DurableFrame, Resume, Start
from trunkline_protocols.ids import ConversationId, Instance, conversation_id

from trunkline_ingress.application.identity_border import admitted
from trunkline_ingress.application.session import Session, SessionPorts, StaleSessionError
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.identity import Claims, Identity, UnauthorizedError
from trunkline_ingress.core.resume_tokens import sign, verify
from trunkline_ingress.ports import Site, Sites

_log: Final = structlog.get_logger(__name__)

_MAX_CONCURRENT_RESTORES: Final = 16
"""When an ingress dies, all of its customers resume at the same moment, and each restore reads the streams."""

SendFrame: TypeAlias = Callable[[bytes], Awaitable[None]]


class UnknownConversationError(Exception):
    """The conversation does not exist."""


class OtherSiteError(Exception):
    """Another site serves the customer's region; nothing of the customer is kept here."""

    def __init__(self, site: Site) -> None:
        """Keep the site."""
        super().__init__(site.region)
        self.site = site


class UnknownRegionError(Exception):
    """No process of this suite serves the region: a message would be stored and never answered."""


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A registered session. `replaced` is set when another socket takes the conversation over."""

    session: Session
    replaced: asyncio.Event
    resume_token: str = ""
    """Token of a new conversation."""
    missed: list[DurableFrame] = field(default_factory=list)
    """Frames that the client missed of a resumed conversation."""


@dataclass(frozen=True, slots=True)
class SessionOpener:
    """Opens and registers sessions."""

    instance: Instance
    borders: BorderGuard
    """Of the only region that is served."""
    ports: SessionPorts
    sessions: SessionRegistry
    resume_secret: bytes
    resume_ttl_s: float
    """Lifetime of resume tokens."""
    max_queued_frames: int
    now: Callable[[], float] = time.time
    """Clock: Unix seconds."""
    sites: Sites | None = None
    """The suites of other regions, if there are any."""
    restore_permits: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_CONCURRENT_RESTORES))

    def start(self, request: Start, claims: Claims | None, send: SendFrame) -> OpenedSession:
        """Start a conversation.

        Raises `UnauthorizedError` if the request does not match the claims, `OtherSiteError` for a region with a site
        of its own, `UnknownRegionError` for any other region.
        """
        region = self.borders.region
        self._require_own_site(request.region if claims is None else claims.region)
        identity = Identity(
            conversation=conversation_id(secrets.token_hex(12)),
            customer=request.customer,
            tenant=request.tenant,
            region=request.region or region,
            channel=request.channel,
            locale=request.locale,
            tier=request.tier,
        )
        granted = admitted(identity, claims, self.borders)
        if granted is None:
            raise UnknownRegionError(f"region: this suite serves {region!r} only")
        session = self._session(granted, send)
        token = sign(session.identity, self.resume_secret, expires_at=self.now() + self.resume_ttl_s)
        return OpenedSession(session, self.sessions.add(session), resume_token=token)

    async def resume(self, request: Resume, claims: Claims | None, send: SendFrame) -> OpenedSession | None:
        """Resume a conversation; return None if `last_seq` was never assigned in it.

        Raises `UnauthorizedError`, `UnknownConversationError`, `ErasedConversationError`, `OtherSiteError` for a region
        with a site of its own, or `StaleSessionError` if the streams cannot be read.
        """
        identity = self.identity_of(request.resume_token)
        if claims is not None:
            self._require_own_site(claims.region)
        elif identity is not None and identity.conversation == request.conversation:
            self._require_own_site(identity.region)
        if identity is None or identity.conversation != request.conversation:
            await self._refuse(ConversationId(request.conversation))
            raise UnauthorizedError("the resume token is not valid for this conversation, or has expired")
        granted = admitted(identity, claims, self.borders)
        if granted is None:
            raise UnknownConversationError
        return await self._restore(granted, request.last_seq, send)

    def is_home_of(self, claims: Claims | None) -> bool:
        """Return whether claims may be stored here; a token of another region is refused when the session opens."""
        return claims is None or claims.region == self.borders.region

    def identity_of(self, resume_token: str) -> Identity | None:
        """Return the identity in a resume token, None if the token is not valid now."""
        return verify(resume_token, self.resume_secret, now=self.now())

    def _require_own_site(self, region: str) -> None:
        """Raise `OtherSiteError` for a region with a site of its own: its customer came to the wrong one.

        That is no passage of data: nothing but the name of a region is read.
        """
        site = self.sites.find(region) if self.sites is not None else None
        if site is not None:
            raise OtherSiteError(site)

    async def _restore(self, identity: Identity, last_seq: int, send: SendFrame) -> OpenedSession | None:
        session = self._session(identity, send)
        try:
            await self.ports.presence.announce(identity.region, session.attached)
            # From now on commits wait in the session's queue; those that the replay includes are dropped.
            replaced = self.sessions.add(session)
            async with self.restore_permits:
                missed = await session.restore(last_seq)
        except BusError as error:
            self.sessions.remove(session)
            _log.warning("session.restore_failed", conversation=identity.conversation, error=str(error))
            raise StaleSessionError(identity.conversation, str(error)) from error
        except BaseException:  # erased, or the socket has ended meanwhile
            self.sessions.remove(session)
            raise
        if missed is None:
            self.sessions.remove(session)
            return None
        return OpenedSession(session, replaced, missed=missed)

    async def _refuse(self, conversation: ConversationId) -> None:
        """Raise `UnknownConversationError` if the conversation does not exist."""
        if not await self.ports.inbox.contains(self.borders.region, conversation):
            raise UnknownConversationError

    def _session(self, identity: Identity, send: SendFrame) -> Session:
        return Session(
            identity,
            self.ports,
            ingress=self.instance,
            send=send,
            now=self.now,
            max_queued_frames=self.max_queued_frames,
        )
