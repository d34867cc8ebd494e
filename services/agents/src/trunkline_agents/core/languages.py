"""A polite reply to a customer who writes in a language that the fleet does not serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_PLACEHOLDER: Final = "{languages}"
_OTHER: Final = (
    "We can only answer in these languages here: {languages}. Please write in one of them, or ask to speak to a person."
)


class LanguageTexts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts by language (ISO 639-1)."""

    names: dict[str, str]
    """Name of each language in itself."""
    replies: dict[str, str]
    """Reply in each language, with a placeholder for the languages that are served."""

    def unserved(self, language: str, served: Sequence[str]) -> str:
        """Return the reply to a message in `language`, in that language if there is a translation."""
        names = ", ".join(self.names.get(code, code) for code in served)
        return self.replies.get(language, _OTHER).replace(_PLACEHOLDER, names)
