"""The edge of the ingress: its listener, limits per customer and address, and who is let in."""

from __future__ import annotations

from aiohttp import web
from trunkline_chassis.health import listening
from trunkline_chassis.lifecycle import Process
from trunkline_chassis.startup import retry_start

from trunkline_ingress.adapters.connections import ConnectionLimits, LimitedSite
from trunkline_ingress.adapters.customer_tokens import CustomerTokens
from trunkline_ingress.adapters.jwks import KeySet
from trunkline_ingress.adapters.operator_directory import Operators
from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.core.budget import Budget, Rate
from trunkline_ingress.core.network import parse_hosts, parse_networks
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.edge import EdgeGuard
from trunkline_ingress.settings import IngressSettings

_TCP_BACKLOG = 4096


async def listen(app: web.Application, guard: EdgeGuard, settings: IngressSettings) -> web.AppRunner:
    """Serve the application until its runner is cleaned up."""
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.shutdown_timeout_s,
        # Counts until the next request has arrived whole, so that it limits the time for a header.
        keepalive_timeout=settings.edge_header_timeout_s,
    )
    await runner.setup()
    limits = ConnectionLimits(
        total=settings.edge_connections,
        per_address=settings.edge_sockets_per_address,
        exempt=[*guard.trusted_proxies, *guard.unlimited],
    )

    async def start() -> None:
        with listening(settings.http_host, settings.http_port):
            await LimitedSite(
                runner,
                settings.http_host,
                settings.http_port,
                limits=limits,
                backlog=_TCP_BACKLOG,
                reuse_port=settings.share_port,
            ).start()

    await retry_start(start)
    return runner


def edge_guard(settings: IngressSettings) -> EdgeGuard:
    """Return the checks of each request: host, proxies, budgets."""
    return EdgeGuard(
        hosts=parse_hosts(settings.edge_hosts),
        trusted_proxies=parse_networks(settings.edge_trusted_proxies),
        unlimited=parse_networks(settings.edge_unlimited),
        budget=Budget(
            {
                "customer": Rate(settings.messages_per_s, settings.message_burst),
                "address": Rate(settings.edge_address_rate, settings.edge_address_burst),
                "tenant": Rate(settings.edge_tenant_rate, settings.edge_tenant_burst),
            }
        ),
        sockets_per_address=settings.edge_sockets_per_address,
    )


async def authenticator_of(process: Process[IngressSettings]) -> Authenticator:
    """Return the check of customers' tokens; its keys are refreshed in the background."""
    settings = process.settings
    keys = None
    if settings.auth_jwks is not None:
        keys = KeySet(settings.auth_jwks)
        await keys.refresh()
        process.spawn(keys.run())
    tokens = CustomerTokens(
        secret=settings.auth_secret.get_secret_value() if settings.auth_secret else None,
        keys=keys,
        audience=settings.auth_audience,
        issuer=settings.auth_issuer,
    )
    return Authenticator(tokens if settings.authenticates else None, settings.auth_query_token)


def operators_of(process: Process[IngressSettings]) -> Operators:
    """Return the operators, whose key file is followed."""
    settings = process.settings
    keys = OperatorKeyFile(settings.operator_keys) if settings.operator_keys is not None else None
    if keys is not None:
        process.spawn(keys.run())
    token = settings.operator_token.get_secret_value() if settings.operator_token else None
    return Operators(token=token, keys=keys, link=settings.operator_link)
