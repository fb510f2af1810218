"""The reference page and the table of codes are one thing."""

from pathlib import Path

from gateway.federation.composition import CODES
from gateway.federation.composition.codes import reference_page

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "composition-errors.md"


def test_the_reference_page_is_generated_from_the_table() -> None:
    assert _PAGE.read_text(encoding="utf-8") == reference_page()


def test_every_code_has_a_meaning_and_a_remedy_that_are_sentences() -> None:
    for code in CODES.values():
        assert code.meaning.endswith(".")
        assert code.remedy.endswith(".")


def test_codes_are_listed_in_order() -> None:
    assert list(CODES) == sorted(CODES)
