"""Tokens without a parse: the same that graphql-core's lexer finds, in time that grows with the text alone."""

import time

import pytest
from graphql import GraphQLSyntaxError, Source, TokenKind
from graphql.language import Lexer
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.tokens import Tokens

_CHARACTERS = '!$&():=@[]{|},# \n\t\r"\\-.'
_WORDS = ("...", "name", "_", "on", "0", "12", "-3", "1.5", "2e9", "\ufeff", "é", "\\u0041", "# said\n", "#\r")
_STRINGS = ('"a"', '"\\""', '""', '"""', '\\"""', '""" " """')
PIECES = st.sampled_from((*_CHARACTERS, *_WORDS, *_STRINGS))


def lexed(text: str) -> tuple[list[str], int] | None:
    """What the lexer finds: all but comments, and how many with them; None where it finds an error."""
    lexer, found, count = Lexer(Source(text)), [], 0
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            found.append(text[token.start : token.end])
    except GraphQLSyntaxError:
        return None
    token = lexer.token
    while token.prev is not None:
        count += token.kind is not TokenKind.EOF
        token = token.prev
    return found, count


@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=40))
def test_they_are_those_of_the_lexer(text: str) -> None:
    expected = lexed(text)
    if expected is not None:
        found, count = expected
        tokens = Tokens(text)
        assert list(tokens) == found
        assert [text[tokens.offset(index) :].startswith(token) for index, token in enumerate(found)] == [True] * len(
            found
        )
        assert Tokens(text, count).complete
        assert not count or not Tokens(text, count - 1).complete


@pytest.mark.parametrize(
    ("text", "long_chars"),
    [
        ("{ hello }", 0),
        ('"' + "a" * 62 + '"', 0),
        ('"' + "a" * 63 + '"', 65),
        ("{ a } #" + "a" * 64, 65),
        ('"""' + "a" * 100, 103),
        ("a" * 65 + " " * 100 + "b" * 70, 135),
    ],
)
def test_tokens_longer_than_names_are_counted_by_their_characters(text: str, long_chars: int) -> None:
    assert Tokens(text).long_chars == long_chars


@pytest.mark.parametrize(
    "text",
    [
        " " * 128_000,
        '"""\\' * 32_000,
        '\\"""' * 32_000,
        '"' * 128_000,
        '"\\' * 64_000,
        "#" * 128_000,
        "# \n" * 40_000,
        "-" * 128_000,
        "1." * 64_000,
        "." * 128_000,
        "é" * 128_000,
        "{ a(" * 32_000,
    ],
)
def test_no_text_takes_longer_than_its_length(text: str) -> None:
    began = time.thread_time()
    Tokens(text)
    Tokens(text, 5_000)
    assert time.thread_time() - began < 5  # ten thousand times this where it backtracks
