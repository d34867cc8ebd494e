"""Language of a locale, as articles name it."""

from __future__ import annotations


def language_of(locale: str) -> str:
    """Return the language of a locale: `de` for `de-AT`, `de_AT` and `DE`."""
    return locale.replace("_", "-").partition("-")[0].lower()
