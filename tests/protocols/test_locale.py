"""The language of a locale selects the articles of a customer, in searches and in quoted articles alike."""

from __future__ import annotations

import pytest
from trunkline_protocols.rules.locale import language_of


@pytest.mark.parametrize("locale", ["de", "DE", "de-AT", "de_AT", "de-Latn-AT"])
def test_region_script_and_case_do_not_matter(locale: str) -> None:
    """Clients write locales in several forms."""
    assert language_of(locale) == "de"
