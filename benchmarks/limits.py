"""What it costs to refuse a document, beside what it costs to accept a small one; text to verdict, nothing cached.

.venv/bin/python -m benchmarks.limits
"""

import time
from collections.abc import Callable
from functools import partial

from graphql import build_schema

from gateway.http.documents import DocumentCache
from gateway.http.errors import RequestError
from gateway.http.limits import DocumentLimitCheck
from gateway.http.tokens import Tokens

SCHEMA = build_schema("type Query { leaf(name: String): String, tree: Query }")
SMALL = """
query Small($name: String) { tree { leaf(name: $name) } a: tree { ...F } }
fragment F on Query { leaf tree { leaf } }
"""
RUNS = 15


def doubled(levels: int) -> str:
    """Fragments that stand for two to that many fields."""
    body = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{{ ...F0 }} {body} fragment F{levels} on Query {{ leaf }}"


def ring(length: int) -> str:
    """Fragments that spread one another in a circle."""
    return "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{(n + 1) % length} }}" for n in range(length))


ATTACKS = {
    "doubled fragments, 26 levels": doubled(26),
    "doubled fragments, 450 levels": doubled(450),
    "190 deep": "{ tree " * 190 + "{ leaf }" + " }" * 190,
    "500 deep": "{ tree " * 500 + "{ leaf }" + " }" * 500,
    "31 aliases": "{" + "a: leaf " * 31 + "}",
    "1,600 aliases": "{" + "a: leaf " * 1_600 + "}",
    "100,000 aliases": "{" + "a:leaf " * 100_000 + "}",
    "1,600 directives": "{ leaf" + " @a" * 1_600 + " }",
    "4,900 root fields": "{" + "leaf " * 4_900 + "}",
    "5,001 tokens": "{" + "leaf " * 5_000 + "}",
    "1 MB of spaces": "{ leaf }" + " " * 1_000_000,
    "a ring of 700 fragments": ring(700),
}


def verdict(text: str) -> str:
    """What becomes of a document that is new to the gateway."""
    try:
        DocumentCache(SCHEMA, check_limits=DocumentLimitCheck()).get(text)
    except RequestError as error:
        limits = [str(entry.get("extensions", {}).get("limit", "")) for entry in error.errors[:3]]
        return f"{error.code} {' '.join(limits)}".strip()
    return "accepted"


def best(run: Callable[[], object]) -> float:
    """The shortest of a few runs, in milliseconds."""
    shortest = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        shortest = min(shortest, (time.perf_counter() - start) * 1000)
    return shortest


def main() -> None:
    small_ms = best(lambda: verdict(SMALL))
    tokens = Tokens(doubled(26))
    check = DocumentLimitCheck()

    def checked() -> None:
        try:
            check(tokens)
        except RequestError:
            return

    print(f"{'document':<32}{'ms':>8}{'ratio':>8}  verdict")
    print(f"{'a small query':<32}{small_ms:>8.2f}{1:>8.1f}  {verdict(SMALL)}")
    for name, text in ATTACKS.items():
        took_ms = best(partial(verdict, text))
        print(f"{name:<32}{took_ms:>8.2f}{took_ms / small_ms:>8.1f}  {verdict(text)}")
    print(f"the check alone, 26 levels doubled: {best(checked):.2f} ms")


if __name__ == "__main__":
    main()
