"""Of an upstream's own errors, no words are told, and of the rest what looks like a code and like names."""

import enum
from typing import Any

import msgspec
import pytest

from clients.call import Problem
from clients.protocols.reported import plain_code, without_values, without_words

Tier = enum.Enum("Tier", {"GOLD": "gold"})
Size = enum.IntEnum("Size", {"ONE": 1})
SENTENCE = "The subgraph 'crm' reported an error."
WORDS = {"message": "Jane owes 12"}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (None, None),
        ("NOT_FOUND", "NOT_FOUND"),
        ("A", "A"),
        ("E2BIG", "E2BIG"),
        ("A" * 64, "A" * 64),
        ("A" * 65, "OTHER"),
        ("not_found", "OTHER"),
        ("2FAST", "OTHER"),
        ("NOT FOUND", "OTHER"),
        ("NOT_FOUND\n", "OTHER"),
        ("", "OTHER"),
    ],
)
def test_a_code_is_told_if_it_looks_like_one(code: str | None, told: str | None) -> None:
    assert plain_code(code) == told


def test_words_and_extensions_stay_here_and_code_and_fields_are_told() -> None:
    extensions = {"code": "FORBIDDEN", "debug": WORDS}
    problem = Problem("Jane owes 12", "FORBIDDEN", 2, ("orders", 0, "total"), extensions)
    told = without_words(problem, SENTENCE)
    assert told == Problem(SENTENCE, "FORBIDDEN", 2, ("orders", 0, "total"), {"code": "FORBIDDEN"})


def test_a_code_that_is_none_is_no_extension() -> None:
    assert without_words(Problem("a", "Jane owes 12", extensions=WORDS), SENTENCE) == Problem(SENTENCE, "OTHER")
    assert without_words(Problem("a", None, extensions=WORDS), SENTENCE) == Problem(SENTENCE, None)


def test_a_path_ends_where_it_names_no_field() -> None:
    told = without_words(Problem("a", None, path=("orders", 1, "Jane owes 12", "total")), SENTENCE)
    assert told.path == ("orders", 1)


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (dict[str, int], b'{"a": "Jane"}', "Expected `int`, got `str` - at `$[...]`"),
        (
            msgspec.defstruct("Pet", [("a", int)], tag="pet"),
            b'{"type": "Jane - at `a`"}',
            "Invalid value - at `$.type`",
        ),
        (list[Tier], b'["Jane\\nowes"]', "Invalid enum value - at `$[0]`"),
        (Size, b"12", "Invalid enum value"),
    ],
)
def test_what_a_body_is_wrong_in_is_told_without_the_value(kind: Any, body: bytes, told: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=kind)
    assert without_values(caught.value) == told
