"""Detection of personal data: what is found in which form, and what looks like it and is not."""

from __future__ import annotations

import random

import pytest
from stdnum import iban, luhn
from trunkline_llm_gateway.core.personal_data.countries import countries_of
from trunkline_llm_gateway.core.personal_data.detection import find_personal_data

from tests.support.personal_messages import lookalike_messages

FULLWIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "4111111111111111")


def found(text: str, *countries: str) -> list[tuple[str, str]]:
    """Return the kinds of personal data and the data."""
    return [(span.kind, text[span.start : span.end]) for span in find_personal_data(text, countries)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My card 4111 1111 1111 1111 is lost.", [("card", "4111 1111 1111 1111")]),
        ("card:4111-1111-1111-1111, 12/27", [("card", "4111-1111-1111-1111")]),
        ("Amex 3782 822463 10005!", [("card", "3782 822463 10005")]),
        ("5555555555554444 and 4012888888881881", [("card", "5555555555554444"), ("card", "4012888888881881")]),
        (f"a fullwidth one: {FULLWIDTH}", [("card", FULLWIDTH)]),
        ("pay to DE89 3704 0044 0532 0130 00 please", [("iban", "DE89 3704 0044 0532 0130 00")]),
        ("iban gb82west12345698765432.", [("iban", "gb82west12345698765432")]),
        ("IBANNO9386011117947", [("iban", "NO9386011117947")]),
        ("write to Anna.Lee+shop@mail.example.co.uk.", [("email", "Anna.Lee+shop@mail.example.co.uk")]),
        ("(mailto:jörg@bücher.example)", [("email", "jörg@bücher.example")]),
        ("4111111111111111@example.org", [("email", "4111111111111111@example.org")]),
        ("call +49 30 901820 or 0044 20 7946 0958", [("phone", "+49 30 901820"), ("phone", "0044 20 7946 0958")]),
    ],
)
def test_data_of_every_country_is_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("country", "text", "expected"),
    [
        ("US", "Call (415) 555-2671 today", ("phone", "(415) 555-2671")),
        ("US", "4155552671", ("phone", "4155552671")),
        ("GB", "My order is late, ring 020 7946 0958.", ("phone", "020 7946 0958")),
        ("DE", "Meine Nummer: 030/901820", ("phone", "030/901820")),
        ("FR", "au 01 23 45 67 89", ("phone", "01 23 45 67 89")),
        ("US", "SSN 536-90-4399", ("id", "536-90-4399")),
        ("DE", "Steuer-ID 36 574 261 809", ("id", "36 574 261 809")),
        ("CH", "756.9217.0769.85", ("id", "756.9217.0769.85")),
        ("FR", "2 95 10 99 126 111 93", ("id", "2 95 10 99 126 111 93")),
        ("ES", "dni 54362315-K", ("id", "54362315-K")),
        ("IT", "RCCMNL83S18D969H", ("id", "RCCMNL83S18D969H")),
        ("SE", "880320-0016", ("id", "880320-0016")),
        ("BR", "CPF 390.533.447-05", ("id", "390.533.447-05")),
    ],
)
def test_national_forms_are_found_for_their_country(country: str, text: str, expected: tuple[str, str]) -> None:
    """Without the country they are ordinary numbers."""
    assert found(text, country) == [expected]
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Order 4155552671 has not come",
        "my order number is 4155552671",
        "invoice INV-4155552671",
        "Bestellnummer: 0309018200",
        "on 27.11.2026 at 18:30, or 2026-11-27 18:30, or 20261127",
        "It cost 1,234,567.89 USD, not 12345678 EUR",
        "$1234567890",
        "The TX-4000 1234567 has firmware 10.12.1234.5678",
        "server 192.168.100.112",
        "4111 1111 1111 1112",
        "DE88 3704 0044 0532 0130 00",
        "room @ 12, @anna, a@b",
        "tracking 1Z999AA10123456784",
        "1234567890123456789012345",
        "I paid 19.99 on 12/11 for 2 of 300",
    ],
)
def test_other_numbers_are_no_personal_data(text: str) -> None:
    """Orders, dates, prices, versions, addresses of machines, and numbers with a wrong check digit."""
    assert found(text, "US", "GB", "DE", "FR") == []


def test_few_lookalikes_are_masked() -> None:
    """Orders, dates, times, prices, versions and models, with the numbers of any country: at most 0.5 %."""
    messages = list(lookalike_messages(2_000, seed=3))
    masked = [text for text, locale in messages if find_personal_data(text, countries_of(locale, ()))]
    assert len(masked) <= 10, masked


def test_every_generated_card_and_account_is_found() -> None:
    """In groups or not, with text around them."""
    rng = random.Random(7)  # noqa: S311 - test data
    for _ in range(500):
        body = rng.choice(["4", "51", "55", "2221", "34", "37", "36", "6011", "3528", "62"])
        length = 15 if body in {"34", "37"} else 14 if body == "36" else 16
        body += "".join(rng.choices("0123456789", k=length - 1 - len(body)))
        number = body + luhn.calc_check_digit(body)
        grouped = rng.choice(["", " ", "-"]).join(number[start : start + 4] for start in range(0, length, 4))
        assert found(f"It is {grouped}, valid to 11/29.", "US") == [("card", grouped)]
        account = "DE" + (digits := "".join(rng.choices("0123456789", k=18)))
        account = f"DE{iban.calc_check_digits(f'DE00{digits}')}{digits}"
        grouped = rng.choice([account, iban.format(account), iban.format(account, "-")])
        assert found(f"Refund to {grouped} please", "DE") == [("iban", grouped)]


@pytest.mark.parametrize(
    ("locale", "configured", "expected"),
    [
        ("de-AT", [], ("AT",)),
        ("de_CH.UTF-8", ["US"], ("CH", "US")),
        ("en", ["IE", "GB"], ("US", "GB", "IE")),
        ("zh-Hant-TW", [], ("TW",)),
        ("xx-ZZ", [], ()),
        ("", ["FR"], ("FR",)),
    ],
)
def test_countries_come_from_the_locale_and_the_configuration(
    locale: str, configured: list[str], expected: tuple[str, ...]
) -> None:
    assert countries_of(locale, configured) == expected
