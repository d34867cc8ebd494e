"""A timestamp authority over HTTP (RFC 3161, section 3.4)."""

from __future__ import annotations

import hashlib
from typing import Final

import aiohttp
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, TimeStampResponse, decode_timestamp_response

from trunkline_audit.ports import AuthorityUnavailableError, Timestamp

_TIMEOUT_S: Final = 15.0
_MAX_BYTES: Final = 64 * 1024
_GRANTED: Final = frozenset({0, 1})
"""Granted, and granted with modifications."""
_HEADERS: Final = {"Content-Type": "application/timestamp-query"}


class HttpTimestampAuthority:
    """Requests tokens, with the certificate of the authority in each."""

    def __init__(self, url: str) -> None:
        """Take the address of the authority."""
        self._url = url

    async def stamp(self, data: bytes) -> Timestamp:
        """Return the token of some data; raises `AuthorityUnavailableError`, also for a token of other data.

        Its signature is not checked here: the auditor names the certificates to trust.
        """
        request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).nonce(nonce=True).build()
        token = await self._post(request.as_bytes())
        try:
            response = decode_timestamp_response(token)
            is_ours = _covers(response, data, request.nonce)
            at = response.tst_info.gen_time
        except ValueError as error:
            raise AuthorityUnavailableError("the reply is no granted timestamp") from error
        if not is_ours:
            raise AuthorityUnavailableError("the reply is not the timestamp of the request")
        return Timestamp(at, token)

    async def _post(self, request: bytes) -> bytes:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.post(self._url, data=request, headers=_HEADERS) as response,
            ):
                if response.status != 200:  # noqa: PLR2004 - HTTP's own name
                    raise AuthorityUnavailableError(f"the authority replied with status {response.status}")
                return await response.content.read(_MAX_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise AuthorityUnavailableError(f"the authority does not answer: {type(error).__name__}") from error


def _covers(response: TimeStampResponse, data: bytes, nonce: int | None) -> bool:
    if response.status not in _GRANTED:
        raise ValueError("not granted")
    info = response.tst_info
    return info.message_imprint.message == hashlib.sha256(data).digest() and info.nonce == nonce
