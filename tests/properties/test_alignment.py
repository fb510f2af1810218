"""One result a key, in key order, whatever the upstream sends in whatever order."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.call import Call, Caller, Problem
from clients.errors import Rejected, UpstreamError
from clients.operation import operation
from clients.protocols.alignment import MissingKeyError, align


class Row(msgspec.Struct, frozen=True):
    id: str | int
    name: str


class Pair(msgspec.Struct, frozen=True):
    left: str
    right: int


BY_ID = operation("crm", "rows", row=Row, rest="GET /rows{?ids}", key="id")
BY_PAIR = operation("crm", "pairs", row=Pair, rest="GET /pairs{?keys}", key=("left", "right"))
SINGLE = operation("crm", "one", row=Row, rest="GET /rows/{id}")
CALLER = Caller("r", "c")


def call(keys: list[Any], declared: Any = BY_ID) -> Call:
    return Call(declared, {}, CALLER).for_keys(keys)


def error_for(problem: Problem) -> UpstreamError:
    return Rejected("crm", problem.message)


def aligned(keys: list[Any], rows: list[Any], problems: list[Problem] | None = None) -> tuple[list[Any], Any]:
    return align(call(keys), rows, problems or [], error_for)


IDS = st.integers(1, 30)
AS_SENT = st.sampled_from([str, int])


@given(
    asked=st.lists(IDS, unique=True, max_size=12),
    known=st.lists(IDS, unique=True, max_size=12),
    data=st.data(),
)
def test_every_key_gets_its_row_or_none_and_nothing_else(
    asked: list[int], known: list[int], data: st.DataObject
) -> None:
    keys = [data.draw(AS_SENT)(key) for key in asked]
    sent = [Row(data.draw(AS_SENT)(key), f"row {key}") for key in known]
    rows = data.draw(st.permutations(sent + [None] * data.draw(st.integers(0, 3))))
    values, left = aligned(keys, list(rows))
    assert left == ()
    assert [None if value is None else value.name for value in values] == [
        f"row {key}" if key in known else None for key in asked
    ]


@given(
    asked=st.lists(st.tuples(st.sampled_from("ab1"), st.integers(0, 3)), unique=True, max_size=8),
    known=st.lists(st.tuples(st.sampled_from("ab1"), st.integers(0, 3)), unique=True, max_size=8),
)
def test_keys_of_several_parts_match_part_by_part(asked: list[tuple[str, int]], known: list[tuple[str, int]]) -> None:
    values, _ = align(call(list(asked), BY_PAIR), [Pair(*key) for key in known], (), error_for)
    assert values == [Pair(*key) if key in known else None for key in asked]


@given(keys=st.lists(IDS, unique=True, min_size=1, max_size=8), data=st.data())
def test_of_rows_in_key_order_a_failed_one_fails_only_its_key(keys: list[int], data: st.DataObject) -> None:
    failed = data.draw(st.sets(st.sampled_from(range(len(keys)))))
    rows = [None if i in failed else Row(key, "x") for i, key in enumerate(keys)]
    values, left = aligned(keys, rows, [Problem("boom", None, i) for i in failed])
    assert left == ()
    for i, value in enumerate(values):
        assert isinstance(value, Rejected) if i in failed else value == rows[i]


def test_a_problem_of_a_null_row_out_of_order_belongs_to_the_whole_answer() -> None:
    values, left = aligned(["1", "2"], [Row("2", "b"), None], [Problem("boom", "X", 1)])
    assert values == [None, Row("2", "b")]
    assert left == (Problem("boom", "X", None),)


def test_a_problem_inside_a_row_follows_the_row_to_its_key() -> None:
    rows = [Row("9", "unasked"), Row("2", "b"), Row("1", "a")]
    problems = [Problem("tier", None, 2, ("tier",)), Problem("beyond", None, 7), Problem("all", None)]
    values, left = aligned(["1", "2"], rows, problems)
    assert values == [Row("1", "a"), Row("2", "b")]
    assert left == (Problem("tier", None, 0, ("tier",)), Problem("beyond", None, 7), Problem("all", None))


def test_a_second_problem_of_a_failed_key_stays_a_problem() -> None:
    values, left = aligned(["1"], [None], [Problem("a", None, 0), Problem("b", None, 0)])
    assert str(values[0]) == "crm: a"
    assert left == (Problem("b", None, 0),)


def test_rows_without_the_key_and_calls_without_keys_are_errors() -> None:
    with pytest.raises(MissingKeyError):
        aligned(["1"], [Pair("a", 1)])
    with pytest.raises(TypeError, match="one is not a batched operation"):
        align(Call(SINGLE, {}, CALLER), [], (), error_for)
    with pytest.raises(TypeError, match="one is not a batched operation"):
        Call(SINGLE, {}, CALLER).for_keys([])
