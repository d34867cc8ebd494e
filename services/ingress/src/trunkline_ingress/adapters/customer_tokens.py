"""Customers' access tokens: JSON Web Tokens with HS256 and a shared secret, or RS256 and ES256 with public keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from trunkline_protocols import codec

from trunkline_ingress.adapters.jwks import PUBLIC_KEY_ALGORITHMS, KeySet
from trunkline_ingress.core.identity import Claims, UnauthorizedError

_CLOCK_SKEW_S: Final = 5
_MAX_TOKEN_CHARACTERS: Final = 8_192
_MAX_CLAIM_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerTokens:
    """Verifies access tokens. `secret` and `keys` may both be set: the algorithm of the token selects one."""

    secret: str | None
    keys: KeySet | None
    audience: str | None
    issuer: str | None

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token; raise `UnauthorizedError` if it is not valid now.

        `exp` and `sub` are required, `aud` and `iss` if they are configured.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise UnauthorizedError("invalid access token: too long")
        try:
            payload = self._decode(token, await self._key_of(jwt.get_unverified_header(token)))
            return msgspec.structs.replace(codec.convert(payload, Claims), further=_further(payload))
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise UnauthorizedError(f"invalid access token: {_reason(error)}") from error

    async def _key_of(self, header: dict[str, Any]) -> str | jwt.PyJWK:
        """Return the key for the algorithm of a header: a public key never verifies HS256, nor a secret RS256."""
        algorithm = header.get("alg")
        if algorithm == "HS256" and self.secret is not None:
            return self.secret
        if algorithm in PUBLIC_KEY_ALGORITHMS and self.keys is not None:
            key = await self.keys.find(str(header.get("kid", "")))
            if key is None:
                raise jwt.InvalidKeyError("unknown key id")
            return key
        raise jwt.InvalidAlgorithmError("algorithm not permitted")

    def _decode(self, token: str, key: str | jwt.PyJWK) -> dict[str, Any]:
        required = ["exp", "sub", *(["aud"] if self.audience else []), *(["iss"] if self.issuer else [])]
        return jwt.decode(
            token,
            key,
            algorithms=["HS256"] if isinstance(key, str) else [key.algorithm_name],
            audience=self.audience,
            issuer=self.issuer,
            leeway=_CLOCK_SKEW_S,
            options={"require": required, "enforce_minimum_key_length": True},
        )


def _further(payload: dict[str, Any]) -> dict[str, str]:
    """Return the claims beside those of `Claims` that are short texts, numbers or flags, as texts."""
    own = set(Claims.__struct_fields__)
    values = {name: _shown(value) for name, value in payload.items() if name not in own}
    return {name: value for name, value in values.items() if 0 < len(value) <= _MAX_CLAIM_CHARACTERS}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""


def _reason(error: Exception) -> str:
    """Return the kind of an error without the values of the token."""
    return str(error) if isinstance(error, jwt.PyJWTError) else "its claims have the wrong type"
