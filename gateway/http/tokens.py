"""The tokens of a document, without a parse: about a twentieth of its time, so what asks too much can be told early.

GraphQL specification, §2.1 (lexical grammar). What is no token becomes one of a single character: the parser, which
comes to it if the document is within its limits, says what is wrong with it.
"""

import re
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

# Possessive throughout, and with an alternative for what never closes: time grows with the text, whatever is in it.
_TOKEN = re.compile(
    r"""
    [ \t\r\n,\ufeff]*+
    (
      [_A-Za-z][_0-9A-Za-z]*+
    | [!$&()?:=@\[\]{|}]
    | \.\.\.
    | -?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+
    | \"\"\" (?: [^"\\]++ | \\\"\"\" | \\ | \"(?!\"\") )*+ (?: \"\"\" | \Z )
    | \" (?: [^"\\\r\n]++ | \\[^\r\n] )*+ \"?+
    | \#[^\r\n]*+
    | \Z
    | .
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_text = itemgetter(1)
_LONG = 64  # characters; names and numbers that people write are shorter


class Tokens(Sequence[str]):
    """The tokens of a text in their order, comments left out.

    Args:
        text: a document.
        most: tokens that are read, comments included; None reads all.

    Attributes:
        text: the document's.
        complete: whether the text has no more than `most`.
        long_chars: of the tokens that are longer than names are, comments and strings that never end among them.
    """

    __slots__ = ("_found", "complete", "long_chars", "text")

    def __init__(self, text: str, most: int | None = None) -> None:
        self.text = text
        found = list(map(_text, islice(_TOKEN.finditer(text), None if most is None else most + 1)))
        while found and not found[-1]:
            found.pop()  # the end of the text
        self.complete = most is None or len(found) <= most
        self.long_chars = sum(length for length in map(len, found) if length > _LONG)
        self._found = [token for token in found if token[0] != "#"] if "#" in text else found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        """The token, or tokens, at `index`."""
        return self._found[index]

    def offset(self, index: int) -> int:
        """Where in the text the token at `index` begins."""
        without_comments = (match for match in _TOKEN.finditer(self.text) if not match[1].startswith("#"))
        return next(islice(without_comments, index, None)).start(1)
