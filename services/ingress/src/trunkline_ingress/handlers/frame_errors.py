"""Errors of a chat socket: a refused frame keeps it open, any other fault closes it with a code."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import WSCloseCode
from trunkline_protocols.frames import ErrorCode, ErrorFrame

from trunkline_ingress.ports import Site

_TAKEN_OVER: Final = 4001
"""Close code of a socket whose conversation another socket has taken over."""
IDLE: Final = 4002
"""Close code of a socket that has not started or resumed a conversation in time."""

_SITE_RETRY_AFTER_S: Final = 30.0


class FrameError(Exception):
    """A frame cannot be served: `frame` is sent, the socket stays open."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        id_: str = "",
        retry_after_s: float = 0.0,
        site: str = "",
        is_clients_fault: bool = True,
    ) -> None:
        """`id_` is the client's id of the message, if the frame has one; `site` the address of another site."""
        super().__init__(message)
        self.is_clients_fault = is_clients_fault
        """If false, the socket is not slowed down: it must stay able to request a person."""
        self.frame = ErrorFrame(
            code=code,
            message=message,
            retryable=retryable,
            id=id_ or msgspec.UNSET,
            retry_after_s=round(retry_after_s, 3) or msgspec.UNSET,
            site=site or msgspec.UNSET,
        )


class CloseSocketError(Exception):
    """The socket cannot continue: `frame` is sent, then the socket is closed with `close_code`."""

    def __init__(self, close_code: int, code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        """Keep the close code beside the frame."""
        super().__init__(message)
        self.close_code = close_code
        self.frame = ErrorFrame(code=code, message=message, retryable=retryable)


def rate_limited(wait_s: float, *, id_: str = "") -> FrameError:
    """Return the error for a frame over the budget."""
    return FrameError("rate_limited", "rate limit exceeded", retryable=True, id_=id_, retry_after_s=wait_s)


def overloaded(retry_after_s: float, *, id_: str) -> FrameError:
    """Return the error for a message that was refused because the suite answers as fast as it can."""
    return FrameError(
        "unavailable",
        "too many messages at the moment",
        retryable=True,
        id_=id_,
        retry_after_s=retry_after_s,
        is_clients_fault=False,
    )


def at_other_site(site: Site) -> FrameError:
    """Return the error for a customer of another region: the address of its site, or that it cannot be reached."""
    if site.is_reachable:
        return FrameError("wrong_region", f"Your region is served at {site.url}. Please continue there.", site=site.url)
    return FrameError(
        "unavailable",
        f"The site of your region, {site.url}, cannot be reached at the moment. Your conversations are kept there: "
        "please try again later.",
        retryable=True,
        retry_after_s=_SITE_RETRY_AFTER_S,
        site=site.url,
    )


def too_many_refused() -> CloseSocketError:
    """Return the error for a socket whose frames are refused again and again."""
    return CloseSocketError(
        WSCloseCode.POLICY_VIOLATION, "rate_limited", "too many refused frames on this socket", retryable=True
    )


def access_expired() -> CloseSocketError:
    """Return the error for a socket whose access token has expired."""
    return CloseSocketError(
        WSCloseCode.POLICY_VIOLATION,
        "unauthorized",
        "the access token has expired, resume with a new one",
        retryable=True,
    )


def resume_required() -> CloseSocketError:
    """Return the error for a session that only a resume can continue."""
    return CloseSocketError(
        WSCloseCode.TRY_AGAIN_LATER, "unavailable", "session interrupted, resume the conversation", retryable=True
    )


def taken_over() -> CloseSocketError:
    """Return the error for a socket whose conversation another socket has taken over."""
    return CloseSocketError(_TAKEN_OVER, "unavailable", "the conversation continues on another connection")
