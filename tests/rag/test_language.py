"""Recognition of languages that the fleet does not serve."""

from __future__ import annotations

import pytest
from trunkline_rag.core.language import foreign_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wo bleibt mein Paket, ich warte seit zwei Wochen", "de"),
        ("¿Cuánto tarda el reembolso de mi pedido?", "es"),
        ("Ma commande n'est toujours pas arrivée", "fr"),
        ("我的路由器坏了", "zh"),
        ("Как мне вернуть лампу?", "ru"),
    ],
)
def test_language_that_is_not_served_is_named(text: str, language: str) -> None:
    """Unless the fleet serves it, or any language."""
    assert foreign_language(text, ["en"]) == language
    assert foreign_language(text, ["en", language]) == ""
    assert foreign_language(text, []) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", "ok", "hola", "👍", "E3?", "hi wen do i get my refnd i payd with paypall", "wifi so slo upstares"),
        *(
            "rooter lite is orange no internet",
            "u took the money 2x for 1 ordr",
            "bye for now",
            "Do I need Plus for it?",
        ),
    ],
)
def test_short_text_and_english_with_mistakes_are_not_foreign(text: str) -> None:
    """A wrong guess would refuse a question that could be answered."""
    assert foreign_language(text, ["en"]) == ""
