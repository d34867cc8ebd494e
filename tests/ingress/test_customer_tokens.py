"""Customers' access tokens: forged, expired and misdirected ones are refused; keys rotate."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from trunkline_ingress.adapters.customer_tokens import CustomerTokens
from trunkline_ingress.adapters.jwks import KeySet
from trunkline_ingress.core.identity import UnauthorizedError

from tests.support.undecodable import UNDECODABLE

SECRET = "the shared secret of this installation"
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SHORT_RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - must be refused
RSA_PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**changed: object) -> dict[str, Any]:
    """Return valid claims, with changes; None removes one."""
    valid = {"sub": "ada", "exp": time.time() + 600, "aud": "chat", "iss": "https://login.example"}
    return {name: value for name, value in (valid | changed).items() if value is not None}


def signed(key: object = SECRET, algorithm: str = "HS256", *, kid: str | None = None, **changed: object) -> str:
    """Return a signed token."""
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)  # type: ignore[arg-type]


def handmade(header: dict[str, Any], payload: object, signature: bytes = b"") -> str:
    """Return a token of arbitrary parts."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def hs256_with(key: bytes, payload: str = "", **header: object) -> str:
    """Return a token signed with HS256, any bytes as key and any text as payload, which PyJWT itself would refuse."""
    parts = (json.dumps({"alg": "HS256", "typ": "JWT", "kid": "rsa", **header}), payload or json.dumps(claims()))
    signed_part = ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)
    mac = hmac.new(key, signed_part.encode(), hashlib.sha256).digest()
    return f"{signed_part}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_own_key(**header: object) -> str:
    """Return a token of an attacker, whose header names the attacker's key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "rsa", "use": "sig"}
    return jwt.encode(claims(), key, algorithm="RS256", headers={"kid": "rsa", "jwk": jwk, **header})


def key_set(**keys: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Return the JWKS of keys by id."""
    found = []
    for id_, key in keys.items():
        public = (
            jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
            if isinstance(key, ec.EllipticCurvePrivateKey)
            else jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        )
        found.append(public | {"kid": id_, "use": "sig"})
    oct_key = {"kty": "oct", "kid": "oct", "k": base64.urlsafe_b64encode(b"k" * 32).decode(), "alg": "HS256"}
    return {"keys": [*found, oct_key]}


@pytest.fixture
async def tokens(tmp_path: Path) -> CustomerTokens:
    """A verifier with a secret and a key set in a file."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(key_set(rsa=RSA_KEY, ec=EC_KEY, short=SHORT_RSA_KEY)))
    keys = KeySet(str(file))
    await keys.refresh()
    return CustomerTokens(secret=SECRET, keys=keys, audience="chat", issuer="https://login.example")


async def test_valid_tokens_of_every_algorithm_are_accepted(tokens: CustomerTokens) -> None:
    """HS256 with the secret, RS256 and ES256 with the keys of the set."""
    for token in (
        signed(),
        hs256_with(SECRET.encode()),
        signed(RSA_KEY, "RS256", kid="rsa"),
        signed(EC_KEY, "ES256", kid="ec"),
    ):
        assert (await tokens.verify(token)).sub == "ada"
    found = await tokens.verify(signed(tenant="t", region="r", tier="gold", aud=["other", "chat"]))
    assert (found.tenant, found.region, found.tier) == ("t", "r", "gold")


TRICKS: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "not a token": lambda: "a.b.c",
    "binary": lambda: "\x00.\x00.\x00",
    "alg none": lambda: handmade({"alg": "none"}, claims()),
    "alg None": lambda: handmade({"alg": "NoNe", "typ": "JWT"}, claims()),
    "no alg": lambda: handmade({"typ": "JWT"}, claims()),
    "alg is a list": lambda: handmade({"alg": ["HS256"]}, claims()),
    "no signature": lambda: signed().rpartition(".")[0] + ".",
    "other secret": lambda: signed("another secret of thirty-two characters"),
    "changed payload": lambda: ".".join(
        [signed().split(".")[0], signed(sub="eve").split(".")[1], signed().split(".")[2]]
    ),
    "HS512 with the secret": lambda: signed(SECRET * 2, "HS512"),
    "public key as secret": lambda: hs256_with(RSA_PEM),
    "RS256 without kid": lambda: signed(RSA_KEY, "RS256"),
    "RS256 with unknown kid": lambda: signed(RSA_KEY, "RS256", kid="other"),
    "kid with a path": lambda: signed(RSA_KEY, "RS256", kid="../../dev/null"),
    "ES256 key for an RS256 kid": lambda: signed(EC_KEY, "ES256", kid="rsa"),
    "RS512": lambda: signed(RSA_KEY, "RS512", kid="rsa"),
    "PS256": lambda: signed(RSA_KEY, "PS256", kid="rsa"),
    "1,024 bits": lambda: signed(SHORT_RSA_KEY, "RS256", kid="short"),
    "symmetric key of the set": lambda: signed("k" * 32, kid="oct"),
    "expired": lambda: signed(exp=time.time() - 60),
    "no exp": lambda: signed(exp=None),
    "exp is text": lambda: signed(exp="tomorrow"),
    "exp is infinite": lambda: hs256_with(SECRET.encode(), json.dumps(claims(exp=1e999))),
    "exp is no number": lambda: hs256_with(SECRET.encode(), json.dumps(claims(exp=float("nan")))),
    "exp is true": lambda: signed(exp=True),
    "exp is a list": lambda: signed(exp=[time.time() + 600]),
    "not yet valid": lambda: signed(nbf=time.time() + 600),
    "other audience": lambda: signed(aud="admin"),
    "no audience": lambda: signed(aud=None),
    "other issuer": lambda: signed(iss="https://evil.example"),
    "no issuer": lambda: signed(iss=None),
    "no sub": lambda: signed(sub=None),
    "empty sub": lambda: signed(sub=""),
    "tenant with a wildcard": lambda: signed(tenant="*"),
    "region with a dot": lambda: signed(region="local.>"),
    "tenant is a number": lambda: signed(tenant=7),
    "sub is a number": lambda: hs256_with(SECRET.encode(), json.dumps(claims(sub=7))),
    "payload is a list": lambda: hs256_with(SECRET.encode(), '["sub"]'),
    "payload is text": lambda: hs256_with(SECRET.encode(), "sub=ada"),
    "critical header": lambda: jwt.encode(claims(), SECRET, headers={"crit": ["x"], "x": 1}),
    "very long": lambda: signed(padding="x" * 10_000),
    "deeply nested": lambda: hs256_with(SECRET.encode(), json.dumps(claims())[:-1] + ', "x": ' + "[" * 4_000),
    "five parts": lambda: signed() + ".." + "x" * 40,
    "token twice": lambda: f"{signed()}.{signed()}",
    "empty secret": lambda: hs256_with(b""),
    "key set as secret": lambda: hs256_with(json.dumps(key_set(rsa=RSA_KEY)).encode()),
    "key in the header": with_own_key,
    "address of keys in the header": lambda: with_own_key(jku="https://evil.example/jwks", x5u="https://evil.example"),
    "ES256 signature of zeros": lambda: handmade({"alg": "ES256", "kid": "ec"}, claims(), b"\x00" * 64),
    "RS256 without a signature": lambda: handmade({"alg": "RS256", "kid": "rsa"}, claims()),
    "payload not encoded": lambda: hs256_with(SECRET.encode(), b64=False, crit=["b64"]),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("trick", TRICKS)
async def test_forged_token_is_refused(tokens: CustomerTokens, trick: str) -> None:
    """Each with `UnauthorizedError`, whose text has neither the secret nor the token."""
    token = TRICKS[trick]()
    with pytest.raises(UnauthorizedError) as refused:
        await tokens.verify(token)
    assert SECRET not in str(refused.value)
    assert not token or token not in str(refused.value)


async def test_algorithm_without_its_key_is_refused() -> None:
    """A secret alone admits no RS256, a key set alone no HS256."""
    secret_only = CustomerTokens(secret=SECRET, keys=None, audience=None, issuer=None)
    keys_only = CustomerTokens(secret=None, keys=KeySet("/nonexistent"), audience=None, issuer=None)
    for verifier, token in (
        (secret_only, signed(RSA_KEY, "RS256", kid="rsa", aud=None, iss=None)),
        (keys_only, signed(aud=None, iss=None)),
        (keys_only, signed(RSA_KEY, "RS256", kid="rsa", aud=None, iss=None)),
    ):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(token)
    # A token for a certain audience is not for everyone.
    with pytest.raises(UnauthorizedError):
        await secret_only.verify(signed())


class Provider:
    """An identity provider whose keys can be replaced; counts the requests."""

    def __init__(self) -> None:
        self.answer: web.Response | dict[str, Any] = key_set(rsa=RSA_KEY)
        self.requests = 0

    async def serve(self, _: web.Request) -> web.Response:
        """Return the key set."""
        self.requests += 1
        return web.json_response(self.answer)


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    """A running identity provider and the address of its keys."""
    running = Provider()
    app = web.Application()
    app.router.add_get("/jwks", running.serve)
    async with TestServer(app) as server:
        yield running, str(server.make_url("/jwks"))


async def test_keys_rotate(provider: tuple[Provider, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key id is looked up at once, then at most every 10 s; a removed key is refused after a refresh."""
    running, url = provider
    keys = KeySet(url)
    verifier = CustomerTokens(secret=None, keys=keys, audience=None, issuer=None)
    old = signed(RSA_KEY, "RS256", kid="rsa", aud=None, iss=None)
    assert (await verifier.verify(old)).sub == "ada"
    assert running.requests == 1
    running.answer = key_set(new=EC_KEY)
    new = signed(EC_KEY, "ES256", kid="new", aud=None, iss=None)
    for _ in range(20):
        with pytest.raises(UnauthorizedError):
            await verifier.verify(new)
    assert running.requests == 1
    monkeypatch.setattr("trunkline_ingress.adapters.jwks._MIN_REFRESH_INTERVAL_S", 0.0)
    assert (await verifier.verify(new)).sub == "ada"
    with pytest.raises(UnauthorizedError):
        await verifier.verify(old)


async def test_unreadable_key_set_keeps_the_last_keys(provider: tuple[Provider, str]) -> None:
    """An outage of the identity provider does not lock customers out."""
    running, url = provider
    keys = KeySet(url)
    await keys.refresh()
    running.answer = {"keys": "none"}
    await keys.refresh()
    assert await keys.find("rsa") is not None


@pytest.mark.parametrize("raw", [*UNDECODABLE.values(), b"7", b'{"keys":7}', b'{"keys":[7]}', b'{"keys":[{"kty":7}]}'])
async def test_key_set_of_another_shape_keeps_the_present_keys(raw: bytes, tmp_path: Path) -> None:
    """Whatever the provider answers, no process ends: tokens are verified with the keys that were read last."""
    file = tmp_path / "jwks.json"
    keys = KeySet(str(file))
    file.write_text(json.dumps(key_set(rsa=RSA_KEY)))
    await keys.refresh()
    file.write_bytes(raw)
    await keys.refresh()
    assert await keys.find("rsa") is not None


async def test_further_claims_are_short_scalars_as_texts() -> None:
    """A claim cannot pose as one of the customer's own, nor as the table of further claims."""
    verifier = CustomerTokens(secret=SECRET, keys=None, audience="chat", issuer=None)
    token = signed(
        company="Acme", seats=17, trial=True, roles=["admin"], long="x" * 201, further={"company": "evil"}, empty=""
    )
    found = await verifier.verify(token)
    assert found.further == {"company": "Acme", "seats": "17", "trial": "true"} | {
        name: value for name, value in found.further.items() if name in {"aud", "iss"}
    }
    assert found.sub == "ada"
