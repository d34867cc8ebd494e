"""Access rules: the table of roles and routes from the router, and what each role may do over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from trunkline_chassis.errors import BusUnavailableError
from trunkline_ingress.adapters.operator_directory import Operators
from trunkline_ingress.adapters.operator_keys import OperatorKeyFile
from trunkline_ingress.app.endpoints import HttpPorts, create_app, endpoints
from trunkline_ingress.application.session import SessionPorts
from trunkline_ingress.application.session_opener import SessionOpener
from trunkline_ingress.application.session_registry import SessionRegistry
from trunkline_ingress.core.operators import VIEWERS
from trunkline_ingress.handlers.access import (
    AccessControl,
    Route,
    author_of,
    health_rules,
    operators,
    person_of,
)
from trunkline_ingress.handlers.auth import Authenticator
from trunkline_ingress.handlers.chat import ChatEndpoint
from trunkline_ingress.handlers.http import BODY_TIMEOUT_S
from trunkline_ingress.settings import IngressSettings
from trunkline_protocols.ids import Instance
from yarl import URL

from tests.ingress.guards import open_guard
from tests.support.borders import ListedBorders

TOKEN = "t" * 32
ROLES = ("viewer", "agent", "lead", "admin", "auditor")
OPEN = "anyone"
TABLE = {
    "GET /": OPEN,
    "GET /console": OPEN,
    "GET /favicon.ico": OPEN,
    "GET /assets/{path}": OPEN,
    "GET /v1/company": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "POST /v1/console/session": OPEN,
    "GET /v1/chat": "customer",
    "GET /v1/articles/{document}": "customer",
    "GET /v1/ops/me": "viewer agent lead admin auditor",
    "GET /v1/ops/status": "viewer agent lead admin auditor",
    "GET /v1/ops/review": "viewer agent lead admin auditor",
    "GET /v1/ops/trace/{conversation}": "lead admin auditor",
    "POST /v1/ops/knowledge/search": "viewer agent lead admin auditor",
    "POST /v1/ops/knowledge/import": "lead admin",
    "GET /v1/ops/knowledge/backups": "viewer agent lead admin auditor",
    "POST /v1/ops/knowledge/backups": "admin",
    "POST /v1/ops/knowledge/restore": "admin",
    "GET /v1/ops/holds": "lead admin auditor",
    "POST /v1/ops/holds": "lead admin auditor",
    "POST /v1/ops/holds/{hold}/release": "admin",
    "POST /v1/ops/customers/show": "lead admin",
    "POST /v1/ops/customers/forget": "admin",
    "POST /v1/ops/customers/export": "admin",
    "POST /v1/ops/customers/erase": "admin",
    "POST /v1/ops/keys/rewrap": "admin",
    "GET /v1/ops/fleet": "viewer agent lead admin auditor",
    "GET /v1/ops/fleet/versions": "viewer agent lead admin auditor",
    "POST /v1/ops/fleet": "admin",
    "POST /v1/ops/fleet/rollback": "admin",
    "GET /v1/ops/fleet/rollout": "viewer agent lead admin auditor",
    "POST /v1/ops/fleet/rollout": "admin",
    "POST /v1/ops/fleet/rollout/pause": "admin",
    "POST /v1/ops/fleet/rollout/resume": "admin",
    "POST /v1/ops/fleet/rollout/abort": "admin",
    "GET /v1/ops/release": "viewer agent lead admin auditor",
    "POST /v1/ops/release": "admin",
    "POST /v1/ops/release/pause": "admin",
    "POST /v1/ops/release/resume": "admin",
    "POST /v1/ops/release/abort": "admin",
    "GET /v1/ops/notices": "viewer agent lead admin auditor",
    "POST /v1/ops/notices": "lead admin",
    "GET /v1/ops/notices/{notice}": "viewer agent lead admin auditor",
    "DELETE /v1/ops/notices/{notice}": "lead admin",
    "GET /v1/ops/desk": "agent lead admin auditor",
    "POST /v1/ops/desk/next": "agent lead admin",
    "GET /v1/ops/desk/{conversation}": "agent lead admin auditor",
    "POST /v1/ops/desk/{conversation}/claim": "agent lead admin",
    "POST /v1/ops/desk/{conversation}/reply": "agent lead admin",
    "POST /v1/ops/desk/{conversation}/hand_back": "agent lead admin",
    "POST /v1/ops/desk/{conversation}/note": "agent lead admin",
    "POST /v1/ops/desk/{conversation}/close": "agent lead admin",
}
"""Callers by route. A new route fails the test until its rule is written down here too."""


class Unavailable:
    """Every collaborator of the edge; each of its methods fails as if NATS were down."""

    def __getattr__(self, name: str) -> object:
        """Raise the error of an outage."""
        raise BusUnavailableError(name)


def key_of(role: str) -> str:
    """Return the key of an operator."""
    return f"key-of-{role}-0123456789abcdef"


def write_keys(file: Path, *roles: str) -> None:
    """Write a key file, one operator per role."""
    file.write_text(
        "\n".join(
            f'[[operator]]\nname = "{role.title()}"\nrole = "{role}"\n'
            f'sha256 = "{hashlib.sha256(key_of(role).encode()).hexdigest()}"\n'
            for role in roles
        )
    )
    file.chmod(0o600)


def edge(
    tmp_path: Path, *, single_machine: bool = True, prefix: str = ""
) -> tuple[web.Application, AccessControl, OperatorKeyFile]:
    """Return the application of the ingress with its rules, over collaborators that are unavailable."""
    write_keys(tmp_path / "operators.toml", *ROLES)
    (tmp_path / "link").write_text("the-code-of-the-link")
    keys = OperatorKeyFile(tmp_path / "operators.toml")
    directory = Operators(token=TOKEN, keys=keys, link=tmp_path / "link")
    access = AccessControl(directory, single_machine, health_rules(prefix), ListedBorders())
    down = Unavailable()
    ports = HttpPorts(**dict.fromkeys(HttpPorts.__dataclass_fields__, down))  # type: ignore[arg-type]
    opener = SessionOpener(
        instance=Instance("ingress-1"),
        borders=ListedBorders(),
        ports=SessionPorts(down, down, down, down),  # type: ignore[arg-type]
        sessions=SessionRegistry(down, down),  # type: ignore[arg-type]
        resume_secret=b"s" * 32,
        resume_ttl_s=60.0,
        max_queued_frames=16,
    )
    guard = open_guard()
    chat = ChatEndpoint(opener, Authenticator(None), guard, first_frame_timeout_s=5.0)
    settings = IngressSettings(resume_secret="s" * 32)
    app = create_app(endpoints(ports, chat, directory, settings), access, guard, lambda: True, prefix=prefix)
    app[BODY_TIMEOUT_S] = 5.0
    return app, access, keys


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a running edge."""
    async with TestServer(edge(tmp_path)[0]) as server:
        yield str(server.make_url("")).rstrip("/")


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def example(route: str) -> tuple[str, str]:
    """Return method and path of a route, with a value for each of its parameters."""
    method, _, path = route.partition(" ")
    return method, "/".join("x" if part.startswith("{") else part for part in path.split("/"))


def test_every_route_of_the_router_has_the_rule_of_the_table(tmp_path: Path) -> None:
    """No route without a rule, no rule without a route."""
    app, access, _ = edge(tmp_path)
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    rules = {
        f"{method} {path}": " ".join(role for role in ROLES if role in rule.roles) or rule.caller
        for (method, path), rule in access.rules.items()
    }
    assert routes == set(rules)
    assert rules == TABLE


async def test_routes_below_a_path_prefix_have_the_same_rules(tmp_path: Path) -> None:
    """With the prefix and without it; the prefix alone leads to the chat page."""
    app, access, _ = edge(tmp_path, prefix="/help/desk")
    below = {f"{method} {path}" for method, path in access.rules if path.startswith("/help/desk")}
    assert below == {route.replace(" ", " /help/desk", 1) for route in TABLE} | {"GET /help/desk"}
    for (method, path), rule in access.rules.items():
        assert access.rules.get((method, f"/help/desk{path}"), rule) == rule
    async with aiohttp.ClientSession() as session, TestServer(app) as server:
        for path, status in (
            ("/help/desk/v1/ops/status", 401),
            ("/help/desk/healthz", 200),
            ("/help/desk/", 200),
            ("/help/v1/ops/status", 404),
            ("/help/desk/help/desk/", 404),
        ):
            async with session.get(server.make_url(path)) as response:
                assert response.status == status, path
        async with session.get(server.make_url("/help/desk?tenant=a%26b"), allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, "/help/desk/?tenant=a%26b")


async def test_page_of_this_host_may_omit_the_default_port_that_a_proxy_adds(url: str) -> None:
    """Another port or another name is another origin."""
    async with aiohttp.ClientSession() as session:
        for origin, host, status in (
            ("http://localhost", "localhost:80", 200),
            ("http://localhost", "localhost:81", 403),
            ("http://evil.example", "localhost:80", 403),
        ):
            headers = {**bearer(TOKEN), "Origin": origin, "Host": host}
            async with session.get(f"{url}/v1/ops/me", headers=headers) as response:
                assert response.status == status, (origin, host)


async def test_each_role_is_admitted_to_exactly_its_routes(url: str) -> None:
    """Without a token and with a wrong one: 401; with the key of another role: 403; else the handler answers."""
    async with aiohttp.ClientSession() as session:

        async def status(route: str, headers: dict[str, str]) -> int:
            method, path = example(route)
            async with session.request(method, url + path, headers=headers, data=b"{}") as response:
                return response.status

        for route, callers in TABLE.items():
            if callers in {OPEN, "customer"}:
                continue
            for refused in ({}, bearer("wrong"), bearer(""), {"Authorization": f"Basic {TOKEN}"}):
                assert await status(route, refused) == 401, (route, refused)
            for role in ROLES:
                answered = await status(route, bearer(key_of(role)))
                assert answered != 401
                assert (answered == 403) == (role not in callers.split()), (route, role, answered)


async def test_public_port_has_health_and_no_metrics(url: str) -> None:
    """Liveness and readiness are open to load balancers; the metrics are on an address of their own."""
    async with aiohttp.ClientSession() as session:

        async def status(path: str) -> int:
            async with session.get(url + path, headers=bearer(key_of("viewer"))) as response:
                return response.status

        assert [await status(path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 404]


async def test_route_without_a_rule_is_refused(tmp_path: Path) -> None:
    """Also if it is added to the router directly."""
    app, _, _ = edge(tmp_path)

    async def forgotten(_: web.Request) -> web.Response:
        return web.Response(text="open")

    app.router.add_get("/v1/forgotten", forgotten)
    async with (
        TestServer(app) as server,
        aiohttp.ClientSession() as session,
        session.get(server.make_url("/v1/forgotten"), headers=bearer(TOKEN)) as response,
    ):
        assert response.status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/ops",
        "/v1/ops/",
        "//v1/ops/status",
        "/v1//ops/status",
        "/V1/OPS/STATUS",
        "/v1/ops/status/",
        "/x/../v1/ops/status",
        "/v1/%6fps/status",
        "/v1/ops/%73tatus",
        "/v1/ops/status;x",
        "/assets/../v1/ops/status",
        "/assets/..%2f..%2fapp.py",
        "/assets/%2e%2e/%2e%2e/metrics",
        "//metrics",
        "/metrics/",
        "/%6detrics",
        "/healthz/../metrics",
        "/metrics%00",
        "/metrics%2f",
        "/v1/ops%2fstatus",
        "/v1/ops/status%20",
        "/v1/./ops/./status",
        "/v1/company/../ops/status",
    ],
)
async def test_no_spelling_of_a_path_avoids_the_rule(url: str, path: str) -> None:
    """The rule belongs to the route that the router selects, not to a prefix of the path."""
    async with aiohttp.ClientSession() as session, session.get(URL(url + path, encoded=True)) as response:
        assert response.status in {401, 403, 404}, path
        assert "python_info" not in await response.text()


async def test_person_is_the_name_of_the_key(tmp_path: Path) -> None:
    """Whatever the body says; the shared token names a person on a single machine only."""

    async def name(request: web.Request) -> web.Response:
        given = request.query.get("person", "")
        return web.json_response([person_of(request, given), author_of(request, given)])

    for single_machine, token, given, expected in (
        (True, key_of("lead"), "Mallory", (200, ["Lead", "Lead"])),
        (False, key_of("lead"), "Mallory", (200, ["Lead", "Lead"])),
        (True, TOKEN, "Ada", (200, ["Ada", "Ada"])),
        (True, TOKEN, " ", (400, None)),
        (False, TOKEN, "Ada", (403, None)),
    ):
        app, access, _ = edge(tmp_path, single_machine=single_machine)
        access.add_routes(app, [Route("GET", "/v1/ops/name", name, operators(VIEWERS))])
        async with TestServer(app) as server, aiohttp.ClientSession() as session:
            address = server.make_url("/v1/ops/name").with_query(person=given)
            async with session.get(address, headers=bearer(token)) as response:
                found = await response.json() if response.status == 200 else None
                assert (response.status, found) == expected


async def test_keys_are_reloaded_and_an_unreadable_file_keeps_the_last_ones(tmp_path: Path) -> None:
    """A removed key is refused without a restart; a file that others may write is not read."""
    _, _, keys = edge(tmp_path)
    file = tmp_path / "operators.toml"
    assert keys.find(key_of("viewer")) is not None
    for role, mode in (("admin", 0o600), ("viewer", 0o660), ("viewer", 0o602)):
        write_keys(file, role)
        file.chmod(mode)
        try:
            keys.load()
        except ValueError:
            assert mode != 0o600
        assert keys.find(key_of("viewer")) is None
        assert keys.find(key_of("admin")) is not None
    file.chmod(0o600)
    for broken in ("[[operator", '[[operator]]\nname = "Eve"\nrole = "root"\nsha256 = "00"\n', "operator = 1"):
        file.write_text(broken)
        with pytest.raises(ValueError, match=r".+"):
            keys.load()
        assert keys.find(key_of("admin")) is not None


async def test_console_link_works_once(url: str) -> None:
    """The session that it gives is an administrator's; the token of the suite is not in it."""
    async with aiohttp.ClientSession() as session:

        async def redeem(code: str, **headers: str) -> tuple[int, str]:
            async with session.post(f"{url}/v1/console/session", json={"code": code}, headers=headers) as response:
                return response.status, await response.text()

        assert (await redeem("wrong"))[0] == 403
        assert (await redeem("the-code-of-the-link", Origin="http://evil.example"))[0] == 403
        assert (await redeem("x" * 5_000))[0] in {400, 413}
        status, body = await redeem("the-code-of-the-link")
        assert status == 200
        assert TOKEN not in body
        assert (await redeem("the-code-of-the-link"))[0] == 403
        session_token = body.split('"')[3]
        async with session.get(f"{url}/v1/ops/me", headers=bearer(session_token)) as response:
            assert await response.json() == {"name": "", "role": "admin"}
        async with session.get(f"{url}/v1/ops/me", headers=bearer(session_token[:-2] + "AA")) as response:
            assert response.status == 401
