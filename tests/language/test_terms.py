"""Terms of texts in any script: a question has the terms of the article that it is about."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st
from trunkline_language.terms import terms, tokenize


@pytest.mark.parametrize(
    ("question", "article"),
    [
        ("efficient office", "The e\ufb03cient of\ufb01ce"),
        ("refund form", "a re\u00adfund\u200b form"),
        ("cafe\u0301 sen\u0303or", "caf\u00e9 se\u00f1or"),
        ("élévateur", "l'élévateur"),
        ("ascensore", "dell'ascensore"),
        ("DEBRANCHEZ", "de\u0301branchez-le"),
        ("\uff32\uff25\uff26\uff35\uff2e\uff24", "refund"),
        ("STRASSE", "straße"),
        ("посылку рабочий", "Посылка идёт три рабочих дня"),
        ("новый адрес", "по новому адресу"),
        ("退款", "订单可以申请退款。"),
        ("返品", "商品の返品は三十日以内です。"),
        ("환불", "환불은 오 일 안에 처리됩니다."),
        ("จัดส่ง", "ค่าจัดส่งสิบบาท"),
        ("रिफंड", "रिफंड पाँच दिन में मिलता है।"),
        ("ταχυδρομειο", "Οδός, ταχυδρομεία"),
        ("שלום", "שָׁלוֹם לכם"),
        ("\u0645\u062d\u0645\u062f", "\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f"),
    ],
)
def test_question_has_the_terms_of_its_article(question: str, article: str) -> None:
    """Ligatures, invisible characters, accents, case, width, endings, no blanks, vowel signs and points."""
    asked, known = terms(question), terms(article)
    assert asked
    assert set(asked) <= set(known)


@pytest.mark.parametrize(
    ("one", "other"), [("か", "が"), ("はし", "ぱし"), ("мои", "мой"), ("की", "का"), ("日本", "日木")]
)
def test_letters_that_only_look_like_accented_ones_are_kept_apart(one: str, other: str) -> None:
    """Voiced kana, the short i of Cyrillic and vowel signs make other words."""
    assert tokenize(one) != tokenize(other)


def test_english_contractions_are_one_word() -> None:
    """They are stop words, or have a term of their own."""
    assert tokenize("I'm sure it isn't o'clock, don't you?") == [
        "i'm",
        "sure",
        "it",
        "isn't",
        "o'clock",
        "don't",
        "you",
    ]


@given(st.text(max_size=200))
def test_tokens_do_not_depend_on_the_normal_form(text: str) -> None:
    """File systems and keyboards compose accents or not."""
    assert tokenize(unicodedata.normalize("NFC", text)) == tokenize(unicodedata.normalize("NFD", text))


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_ascii_is_tokenized_as_other_text_is(text: str) -> None:
    """A single accent in a text does not change its other words."""
    assert tokenize(f"{text} \u00e9") == [*tokenize(text), "e"]
