"""Access rules: every route declares who may use it, and a route without a rule is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from aiohttp import hdrs, web
from trunkline_chassis.residency import BorderGuard
from trunkline_protocols.rules.residency import place_of

from trunkline_ingress.core.operators import Operator, Role
from trunkline_ingress.handlers.http import bearer_of, check_origin
from trunkline_ingress.operator_ports import OperatorDirectory

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPERATOR: Final = web.RequestKey("operator", Operator)
_MAY_NAME_PERSON: Final = web.RequestKey("may_name_person", bool)


class Access(NamedTuple):
    """The callers that a route is open to; `customer`: the handler itself checks the customer's token."""

    caller: Literal["anyone", "customer", "operator"]
    roles: frozenset[Role] = frozenset()


ANYONE: Final = Access("anyone")
CUSTOMER: Final = Access("customer")


def health_rules(prefix: str) -> dict[tuple[str, str], Access]:
    """Return the rules of liveness and readiness, with and without the path prefix."""
    return {("GET", f"{path}/{name}"): ANYONE for path in ("", prefix) for name in ("healthz", "readyz")}


def operators(roles: frozenset[Role]) -> Access:
    """Return the rule for operators of these roles."""
    return Access("operator", roles)


class Route(NamedTuple):
    """A route with its access rule."""

    method: str
    path: str
    handler: Handler
    access: Access


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Enforces the access rules of an application."""

    directory: OperatorDirectory
    is_single_machine: bool
    """True if only this machine is served: the shared token may then act under a name from the request."""
    rules: dict[tuple[str, str], Access]
    """Rules by method and path."""
    borders: BorderGuard

    def add_routes(self, app: web.Application, routes: Iterable[Route], *, prefix: str = "") -> None:
        """Add routes to an application below a path prefix, together with their rules."""
        for route in routes:
            if route.method == hdrs.METH_GET:
                added = app.router.add_get(prefix + route.path, route.handler)  # and HEAD, under the same rule
            else:
                added = app.router.add_route(route.method, prefix + route.path, route.handler)
            # The router's own form of the path: a parameter loses its pattern.
            path = added.resource.canonical if added.resource is not None else prefix + route.path
            self.rules[route.method, path] = route.access

    @web.middleware
    async def enforce(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request that the rule of its route does not permit."""
        resource = request.match_info.route.resource
        if resource is not None:
            method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
            rule = self.rules.get((method, resource.canonical))
            if rule is None:
                raise web.HTTPForbidden(text="this path has no access rule")
            if rule.caller == "operator":
                request[_OPERATOR] = self._operator(request, rule.roles)
        return await handler(request)

    def _operator(self, request: web.Request, roles: frozenset[Role]) -> Operator:
        check_origin(request)
        operator = self.directory.find(bearer_of(request) or "")
        if operator is None:
            raise web.HTTPUnauthorized(
                text="operator token required (--data-dir or TRUNKLINE_OPERATOR_TOKEN)",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )
        if not self.borders.admits(
            "console", data=self.borders.region, place=place_of(self.borders.region, operator.regions)
        ):
            raise web.HTTPForbidden(text="this key is for suites of other regions")
        if operator.role not in roles:
            raise web.HTTPForbidden(text=f"role {operator.role} may not do this; permitted: {', '.join(sorted(roles))}")
        if not operator.name and self.is_single_machine:
            request[_MAY_NAME_PERSON] = True
        return operator


def operator_of(request: web.Request) -> Operator:
    """Return the operator of a request whose route is open to operators only."""
    return request[_OPERATOR]


def person_of(request: web.Request, given: str) -> str:
    """Return the name under which an operator acts: the key's, whatever the request gives.

    The shared token has no name: on a single machine the request names the person, elsewhere it is refused.
    """
    name = request[_OPERATOR].name
    if name:
        return name
    if not request.get(_MAY_NAME_PERSON, False):
        raise web.HTTPForbidden(text="the shared token names no person, use a named operator key")
    if not given.strip():
        raise web.HTTPBadRequest(text="person: a name is required")
    return given.strip()


def author_of(request: web.Request, given: str) -> str:
    """Return the name that a change is recorded under; `operator` for a shared token that may not name a person."""
    name = request[_OPERATOR].name
    if name:
        return name
    return given if given.strip() and request.get(_MAY_NAME_PERSON, False) else "operator"
