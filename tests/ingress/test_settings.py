"""Settings of the ingress: combinations that would open it are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from trunkline_ingress.settings import IngressSettings

SECRET = "a secret of thirty-two characters or more"


def settings(**given: Any) -> IngressSettings:
    """Return settings with a resume secret."""
    return IngressSettings(**{"resume_secret": SECRET, **given})


@pytest.mark.parametrize(
    "given",
    [
        {"http_host": "0.0.0.0"},  # noqa: S104 - must be refused
        {"resume_secret": "x" * 31},
        {"auth_secret": "x" * 31},
        {"operator_token": "x" * 31},
        {"operator_token": ""},
        {"auth_jwks": "http://login.example/jwks"},
        {"auth_jwks": "file:///etc/passwd"},
        {"edge_hosts": "*.example"},
        {"edge_hosts": "https://chat.example"},
        {"edge_trusted_proxies": "proxy.example"},
        {"edge_unlimited": "127.0.0.1/33"},
        {"edge_embed_origins": "*"},
        {"edge_embed_origins": "https://shop.example; script-src *"},
    ],
    ids=str,
)
def test_setting_that_would_open_the_edge_is_refused(given: dict[str, str]) -> None:
    """Short secrets, keys over plain HTTP, wildcards, a network without customers' authentication."""
    with pytest.raises(ValidationError):
        settings(**given)


def test_network_is_served_with_either_kind_of_authentication() -> None:
    """A shared secret, or public keys."""
    for given in ({"auth_secret": SECRET}, {"auth_jwks": "https://login.example/jwks"}, {"auth_jwks": "keys.json"}):
        assert settings(http_host="0.0.0.0", **given).authenticates  # noqa: S104


def test_single_machine_has_neither_a_network_nor_a_proxy() -> None:
    """Only there may the shared token name a person."""
    assert settings().is_single_machine
    for given in ({"edge_trusted_proxies": "127.0.0.1"}, {"edge_hosts": "desk.example"}):
        assert not settings(**given).is_single_machine
    assert not settings(http_host="10.0.0.1", auth_secret=SECRET).is_single_machine
