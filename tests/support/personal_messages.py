"""Generated messages of customers: with personal data, and with numbers that only look like it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from stdnum import iban, luhn
from trunkline_llm_gateway.core.personal_data.spans import KINDS

DatumKind = Literal["card", "iban", "email", "international phone", "national phone"]

_LOCALES: Final = (
    *("en-US", "en-CA", "en-GB", "en-AU", "de-DE", "de-AT", "de-CH", "fr-FR", "es-ES", "it-IT"),
    *("nl-NL", "pl-PL", "sv-SE", "da-DK", "nb-NO", "pt-BR", "ja-JP"),
)
_TEMPLATES: Final = (
    "My {kind} is {datum}, please change it.",
    "{datum}",
    "Order A-7731 of 12/11/2026 has not come, use {datum} for it!",
    "I paid 1,249.00 EUR on 2026-11-03 at 14:30 and the {kind} was {datum}. Where is my order 20331?",
    "Meine Daten: {datum}. Bestellung 4471 vom 03.11.2026, 19,99 EUR",
    "Bonjour, voici : {datum} merci",
    "hi\n{kind}: {datum}\nthanks",
    "THE RIGHT ONE IS {datum} NOT THE OTHER",
    "I have a TX-4000 with firmware 2.14.3; reach me with ({datum})",
    '{{"{kind}": "{datum}"}}',
)
_NETWORKS: Final = (("4", 16), ("4", 13), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("36", 14))
_MORE_NETWORKS: Final = (("6011", 16), ("65", 16), ("3528", 16), ("62", 16), ("5018", 12), ("6759", 19), ("2204", 16))
_ACCOUNTS: Final = {"DE": 18, "AT": 16, "CH": 17, "PL": 24, "DK": 14, "FI": 14, "CZ": 20, "LT": 16}
"""Countries whose accounts are digits only, and the number of these."""
_NAMES: Final = ("anna", "j.doe", "Max.Mueller", "lee_99", "o'neil", "support+me", "jörg", "x")
_DOMAINS: Final = ("example.com", "mail.example.co.uk", "bücher.example", "a-b.example.org", "EXAMPLE.NET")


@dataclass(frozen=True)
class PersonalMessage:
    """A message with one datum."""

    kind: DatumKind
    datum: str
    text: str
    locale: str


def personal_messages(count: int, seed: int) -> Iterator[PersonalMessage]:
    """Yield messages, each kind as often as the others."""
    rng = random.Random(seed)  # noqa: S311 - test data
    kinds: list[DatumKind] = ["card", "iban", "email", "international phone", "national phone"]
    for number in range(count):
        kind, locale = kinds[number % len(kinds)], rng.choice(_LOCALES)
        datum = _datum(kind, locale[-2:], rng)
        text = rng.choice(_TEMPLATES).format(kind=kind.rpartition(" ")[-1], datum=datum)
        yield PersonalMessage(kind, datum, text, locale)


def masked_forms(message: PersonalMessage) -> list[str]:
    """Return a message with a token in place of its datum, for a token of each kind."""
    return [message.text.replace(message.datum, f"[{kind}_1]") for kind in KINDS]


def lookalike_messages(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Yield messages without personal data, each with a locale: orders, dates, times, prices, versions and models."""
    rng = random.Random(seed)  # noqa: S311 - test data
    for _ in range(count):
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(2019, 2027)
        hour, minute, amount = rng.randrange(24), rng.randrange(60), rng.uniform(1, 5_000_000)
        number = _digits(rng, rng.choice([5, 6, 8, 9, 10, 12]))
        number = str(rng.randint(1, 9)) + number[1:]
        texts = (
            f"Where is order {number}?",
            f"My order number is {number}, paid on {year}-{month:02}-{day:02} {hour:02}:{minute:02}",
            f"invoice no. {number} of {day:02}.{month:02}.{year}, {amount:,.2f} EUR",
            f"#{number} was delivered on {month}/{day}/{year} at {hour:02}:{minute:02}",
            f"I paid ${amount:,.2f} for 2 and {amount:.2f} USD for the other",
            f"Bestellnummer {number} vom {day}.{month}.{year} um {hour}:{minute:02} Uhr",
            f"commande {number} du {day:02}/{month:02}/{year}",
            f"tracking number: 1Z{number}AB{month}",
            f"The TX-{number[:4]} has firmware {month}.{day}.{number[:4]} and serial number SN{number}",
            f"ticket {year}{month:02}{day:02}-{number[:4]}, error E{month} {hour:02}:{minute:02}:{day:02}",
            f"{day:02}{month:02}{year} or {month:02}{day:02}{year} or {year}{month:02}{day:02}",
            f"account number: {number}, 10 000 000 and 192.168.{day}.{minute}",
            f"WH-1000XM{month} and iPhone {day} Pro {year}, {number[:5]} miles, {amount:.1f} km",
        )
        yield rng.choice(texts), rng.choice(_LOCALES)


def _datum(kind: DatumKind, country: str, rng: random.Random) -> str:
    match kind:
        case "card":
            return _card(rng)
        case "iban":
            return _account(rng)
        case "email":
            return f"{rng.choice(_NAMES)}{rng.choice(['', str(rng.randrange(1000))])}@{rng.choice(_DOMAINS)}"
        case "international phone":
            form = rng.choice([PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL])
            return phonenumbers.format_number(_phone(rng.choice(_LOCALES)[-2:], rng), form)
        case "national phone":
            return phonenumbers.format_number(_phone(country, rng), PhoneNumberFormat.NATIONAL)


def _card(rng: random.Random) -> str:
    prefix, length = rng.choice(_NETWORKS + _MORE_NETWORKS)
    body = prefix + _digits(rng, length - 1 - len(prefix))
    number = body + luhn.calc_check_digit(body)
    separator = rng.choice(["", " ", "-"])
    return separator.join(number[start : start + 4] for start in range(0, length, 4))


def _account(rng: random.Random) -> str:
    country, length = rng.choice(list(_ACCOUNTS.items()))
    digits = _digits(rng, length)
    number = f"{country}{iban.calc_check_digits(f'{country}00{digits}')}{digits}"
    return rng.choice([number, number.lower(), iban.format(number), iban.format(number, "-")])


def _phone(country: str, rng: random.Random) -> PhoneNumber:
    """Return a valid number of a country: the library's example with other last digits."""
    example = phonenumbers.example_number_for_type(
        country, rng.choice([PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE])
    )
    assert example is not None
    while True:
        number = PhoneNumber()
        number.merge_from(example)
        national = str(example.national_number)
        kept = len(national) - rng.randint(3, 5)
        number.national_number = int(national[:kept] + _digits(rng, len(national) - kept))
        if phonenumbers.is_valid_number_for_region(number, country):
            return number


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))
