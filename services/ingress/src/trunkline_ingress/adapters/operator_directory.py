"""Operators by token: the shared token of a single machine, named keys, and sessions of the console in a browser."""

from __future__ import annotations

import hmac
import time
from pathlib import Path
from typing import Final

import jwt

from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.core.operators import Operator

_SESSION_TTL_S: Final = 12 * 3600
_SESSION_AUDIENCE: Final = "trunkline.console"
SHARED_OPERATOR: Final = Operator(name="", role="admin")
"""The shared token is an administrator without a name."""


class Operators:
    """Every way to be an operator; without a token and keys, none is accepted."""

    def __init__(self, *, token: str | None, keys: OperatorKeyFile | None, link: Path | None) -> None:
        """`link` is the file with the code of the console link; sessions are signed with `token`."""
        self._token = token
        self._keys = keys
        self._link = link

    def find(self, token: str) -> Operator | None:
        """Return the operator that a token belongs to, None if it belongs to none."""
        if not token:
            return None
        if self._token is not None and hmac.compare_digest(token.encode(), self._token.encode()):
            return SHARED_OPERATOR
        return (self._keys.find(token) if self._keys is not None else None) or self._session(token)

    def _session(self, token: str) -> Operator | None:
        if self._token is None:
            return None
        try:
            jwt.decode(
                token,
                self._token,
                algorithms=["HS256"],
                audience=_SESSION_AUDIENCE,
                options={"require": ["exp", "aud"]},
            )
        except jwt.InvalidTokenError:
            return None
        return SHARED_OPERATOR

    # -- console link ---

    def redeem(self, code: str) -> str | None:
        """Return the token of a new session for the code of the console link; the file is removed, so it works once.

        Several processes may read the file, one of them removes it.
        """
        if self._link is None or self._token is None:
            return None
        try:
            expected = self._link.read_text(encoding="utf-8-sig").strip()
            if not expected or not hmac.compare_digest(code.encode(), expected.encode()):
                return None
            self._link.unlink()
        except FileNotFoundError:
            return None
        session = {"aud": _SESSION_AUDIENCE, "exp": int(time.time()) + _SESSION_TTL_S}
        return jwt.encode(session, self._token, algorithm="HS256")
