"""`trunkline fleet diff`: changes of tools, and everything that the tools of a version would reach."""

from __future__ import annotations

import msgspec
from trunkline_cli.fleet.core.differences import differences
from trunkline_cli.fleet.core.reach import reach
from trunkline_protocols.fleet import FactField, Reader, Tool

from tests.agents.builders import small_fleet

PAY = Tool(
    name="pay",
    description="d",
    url="https://shop.example/pay",
    secret="shop-key",
    parameters={"properties": {"customer": {}}},
    writes=True,
    bind={"customer": "customer.sub"},
)
STOCK = Tool(name="stock", description="d", kind="mcp", command=["stock-mcp", "--read only"])


def test_every_address_command_and_secret_is_shown() -> None:
    """New ones are marked; quoting keeps the arguments of a command apart."""
    before = msgspec.structs.replace(small_fleet(), tools=[PAY])
    after = msgspec.structs.replace(before, tools=[STOCK, PAY])
    assert reach(after, before=before) == [
        "  address POST https://shop.example/pay (tool pay, writes, bound: customer = customer.sub)",
        "  secret shop-key sent to https://shop.example/pay (tool pay)",
        "+ command stock-mcp '--read only' (tool stock, reads)",
    ]


def test_weaker_binding_and_other_address_are_new() -> None:
    """The secret at another address is another reach."""
    before = msgspec.structs.replace(small_fleet(), tools=[PAY])
    moved = msgspec.structs.replace(PAY, url="https://evil.example/pay", bind={}, unbound=True)
    assert reach(msgspec.structs.replace(before, tools=[moved]), before=before) == [
        "+ address POST https://evil.example/pay (tool pay, writes, unbound)",
        "+ secret shop-key sent to https://evil.example/pay (tool pay)",
    ]


def test_control_characters_are_shown_as_text() -> None:
    """A fleet could otherwise hide a line of the terminal."""
    tool = msgspec.structs.replace(STOCK, command=["sh", "-c", "\x1b[2Kharmless"])
    (line,) = reach(msgspec.structs.replace(small_fleet(), tools=[tool]))
    assert "\x1b" not in line
    assert "harmless" in line


def test_changes_of_tools_are_differences() -> None:
    """Added, removed and changed, with the whole value."""
    base = small_fleet()
    old = msgspec.structs.replace(base, tools=[PAY])
    changed = msgspec.structs.replace(PAY, url="https://evil.example/" + "x" * 100)
    assert list(differences(base, old)) == ["+ tool pay (http)"]
    assert list(differences(old, base)) == ["- tool pay (http)"]
    (line,) = differences(old, msgspec.structs.replace(base, tools=[changed]))
    assert line == f"~ tool pay: url: {PAY.url!r} -> {changed.url!r}"


def test_readers_reach_addresses_too() -> None:
    """One below the operator's address is shown as such."""
    crm = Reader(
        name="crm",
        url="https://crm.example/{c}",
        secret="crm-key",
        bind={"c": "customer.sub"},
        fields={"plan": FactField()},
    )
    resting = msgspec.structs.replace(crm, name="shop", url="/customers/{c}", secret="")
    fleet = msgspec.structs.replace(small_fleet(), readers=[resting, crm])
    assert reach(fleet) == [
        "+ address GET https://crm.example/{c} (reader crm, reads, bound: c = customer.sub)",
        "+ secret crm-key sent to https://crm.example/{c} (reader crm)",
        "+ address GET TRUNKLINE_READER_ADDRESSES:/customers/{c} (reader shop, reads, bound: c = customer.sub)",
    ]
    assert list(differences(small_fleet(), fleet)) == ["+ reader crm (http)", "+ reader shop (http)"]
    moved = msgspec.structs.replace(crm, url="https://evil.example/{c}")
    assert list(differences(fleet, msgspec.structs.replace(fleet, readers=[resting, moved]))) == [
        "~ reader crm: url: 'https://crm.example/{c}' -> 'https://evil.example/{c}'"
    ]
