"""Rules for tools of a fleet: addresses, secrets, commands, and the binding of tools that write."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trunkline_protocols.fleet import Tool
from trunkline_protocols.rules.fleet import disallowed_commands, find_defect
from trunkline_protocols.rules.tools import find_tool_defect

from tests.agents.builders import small_fleet

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"customer": {"type": "string"}, "amount": {}}}
VALID = Tool(
    name="pay",
    description="d",
    url="https://shop.example/pay",
    parameters=SCHEMA,
    writes=True,
    bind={"customer": "customer.sub"},
)


def changed(**changes: Any) -> Tool:
    return msgspec.structs.replace(VALID, **changes)


@pytest.mark.parametrize(
    "tool",
    [
        VALID,
        changed(bind={}, unbound=True),
        changed(bind={}, writes=False),
        changed(url="http://shop:8080/c/{customer}/pay", parameters={}),
        changed(url="https://[2001:db8::1]:8443/pay?day={day}"),
        changed(kind="mcp", url="", command=["stock-mcp"]),
        changed(secret="shop-key"),
    ],
)
def test_consistent_tool_is_accepted(tool: Tool) -> None:
    assert find_tool_defect(tool) is None


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"bind": {}}, "writes"),
        ({"unbound": True}, "unbound"),
        ({"bind": {}, "writes": False, "method": "DELETE"}, "method"),
        ({"bind": {"custmer": "customer.sub"}}, "bind"),
        ({"parameters": SCHEMA | {"anyOf": [{"properties": {"customer": {}}}]}}, "bind"),
        ({"parameters": SCHEMA | {"patternProperties": {"^cust": {}}}}, "bind"),
        ({"parameters": {"$ref": "#/$defs/x"}}, "bind"),
        ({"url": "ftp://shop.example/"}, "url"),
        ({"url": "https://{host}/pay"}, "url"),
        ({"url": "https://shop.example{path}"}, "url"),
        ({"url": "https://shop.example@evil.example/pay"}, "url"),
        ({"url": "https://shop.example\\@evil.example/pay"}, "url"),
        ({"url": "https://shop.example/pay#x"}, "url"),
        ({"url": "https://shop.example/p ay"}, "url"),
        ({"url": "https://shop.example\r\n.evil.example/"}, "url"),
        ({"url": "https://sh\u00f6p.example/"}, "url"),
        ({"url": "https://shop.example/{a b}"}, "url"),
        ({"kind": "mcp", "url": "https://shop.example/{x}"}, "url"),
        ({"command": ["sh"]}, "command"),
        ({"kind": "mcp", "command": ["sh"]}, "command"),
        ({"kind": "mcp", "url": "", "command": ["sh"], "secret": "shop-key"}, "secret"),
        ({"secret": "hosts"}, "secret"),
        ({"secret": "../key"}, "secret"),
    ],
)
def test_defect_names_its_key(changes: dict[str, Any], key: str) -> None:
    defect = find_tool_defect(changed(**changes))
    assert defect is not None
    assert defect.key == key


def test_fleet_reports_the_tool_at_fault() -> None:
    """The operators' API and the folder apply the same rules."""
    for tools, key in (([VALID, VALID], "name"), ([changed(name="consult")], "name"), ([changed(bind={})], "writes")):
        defect = find_defect(msgspec.structs.replace(small_fleet(), tools=tools))
        assert defect is not None
        assert (defect.subject, defect.key) == (f"tool {tools[0].name}", key)


@pytest.mark.parametrize("allowed", [[], [["stock-mcp"]], [["stock-mcp", "--all", "x"]], [["stock-mcp --all"]]])
def test_command_must_equal_a_permitted_one(allowed: list[list[str]]) -> None:
    """Executable and arguments: an interpreter with other arguments runs other code."""
    tool = changed(kind="mcp", url="", command=["stock-mcp", "--all"])
    fleet = msgspec.structs.replace(small_fleet(), tools=[tool])
    assert disallowed_commands(fleet, allowed) == [tool]
    assert not disallowed_commands(fleet, [*allowed, ["stock-mcp", "--all"]])
