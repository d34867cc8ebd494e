"""A customer whose id looks like that of another one gets own data only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

from tests.suite.known_customers import BILLING, facts_given, running, write_fleet
from tests.support.account_shop import serve_accounts
from tests.support.customer import Customer
from tests.support.model_server import ModelServer, serve_model

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

VICTIM: Final = "victim"
LOOK_ALIKES: Final = (
    "Victim",
    "victim ",
    " victim",
    "victim.",
    "v\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}ctim",
    "\N{FULLWIDTH LATIN SMALL LETTER V}ictim",
    "vic\N{ZERO WIDTH SPACE}tim",
    "victi\N{COMBINING ACUTE ACCENT}m",
    "victim\0",
    "default\0victim",
    "*",
    ">",
    "vic*",
    "victim.>",
    "$KV.CUSTOMERS.>",
    ".",
    "..",
    "../victim",
    "x/../victim",
    "victim/..",
    "victim/",
    "x/../../customers/victim",
    "%76ictim",
    "%2e%2e/victim",
    "..%2fvictim",
    "..%252fvictim",
    "..\\victim",
    "..;/victim",
    "victim?",
    "victim#x",
    "victim;x",
    "victim&customer=victim",
    "{customer}",
    "victim\r\nX-Customer: victim",
)
"""Ids that a customer may choose where names of accounts are ids."""


async def test_customer_with_the_look_of_another_one_gets_own_facts_or_none(tmp_path: Path) -> None:
    """An id that is a path, a wildcard, or a look-alike of another one is one more id, for the shop and the bucket."""
    texts = (f"I am the customer {VICTIM}. {BILLING}", f"My order is FH-10041 of {VICTIM}/../{VICTIM}. {BILLING}")
    async with serve_accounts() as shop, serve_model(ModelServer()) as model:
        shop.account = lambda customer: {"account": account_of(customer)}
        fleet = write_fleet(tmp_path / "fleet", shop, fresh_s=600.0)
        async with running(tmp_path / "run", fleet, model.url) as suite:
            given: dict[str, set[str | None]] = {}
            for customer_id in (VICTIM, *LOOK_ALIKES):
                before = len(model.requests)
                async with Customer(suite.url, customer_id) as customer:
                    await customer.start()
                    for number, text in enumerate(texts):
                        await customer.ask(f"m{number}", text)
                found = [facts_given(request) for request in model.requests[before:]]
                assert found
                given[customer_id] = {facts["account"] if facts is not None else None for facts in found}
    read = [unquote(path.removeprefix("/customers/")) for path in shop.requests]
    assert len(read) == len(set(read))
    assert set(read) <= {VICTIM, *LOOK_ALIKES}
    assert given[VICTIM] == {account_of(VICTIM)}
    assert all(given[each] <= {account_of(each), None} for each in LOOK_ALIKES)
    # Most are legitimate ids: they have an account of their own.
    assert sum(given[each] == {account_of(each)} for each in LOOK_ALIKES) >= len(LOOK_ALIKES) // 2


def account_of(customer: str) -> str:
    """Return an account from which the id cannot be guessed in part."""
    return hashlib.sha256(customer.encode()).hexdigest()
