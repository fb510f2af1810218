"""What an answer's headers say about keeping it, directive by directive."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.call import AS_POLICY, Keep
from clients.protocols.cache_control import allowed


def kept(control: str | None = None, *, public: bool = False, **headers: str) -> Keep | None:
    given = {**headers, **({} if control is None else {"cache-control": control})}
    return allowed(given, public=public, unseen=("x-request-id",))


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (None, AS_POLICY),
        ("", AS_POLICY),
        ("public, immutable, x-unknown=1", AS_POLICY),
        ("no-store", None),
        ("No-Store", None),
        ("max-age=60, no-cache", None),
        ('no-cache="set-cookie"', None),
        ("max-age=60", Keep(60)),
        ('max-age="60"', Keep(60)),
        ("max-age=60, max-age=10", Keep(60)),
        ("max-age=soon", Keep(0)),
        ("max-age=-1", Keep(0)),
        ("max-age", Keep(0)),
        ("max-age=9" + "9" * 400, AS_POLICY),
        ("max-age=60, s-maxage=10", Keep(10, 0, 0)),
        ("s-maxage=10, stale-if-error=30", Keep(10, inf, 30)),
        ("max-age=60, stale-while-revalidate=5, stale-if-error=30", Keep(60, 5, 30)),
        ("max-age=60, must-revalidate, stale-if-error=30", Keep(60, 0, 0)),
        ("proxy-revalidate", Keep(inf, 0, 0)),
        ('x="a, no-store", max-age=60', Keep(60)),
    ],
)
def test_directives(control: str | None, expected: Keep | None) -> None:
    assert kept(control) == expected


@pytest.mark.parametrize("control", ["private", "private=x-user, max-age=60"])
def test_private_is_nothing_that_callers_share(control: str) -> None:
    assert kept(control, public=True) is None
    assert kept(control) is not None


@pytest.mark.parametrize(("age", "fresh_s"), [("15", 45), ("90", 0), ("old", 60), ("-5", 60)])
def test_age_counts(age: str, fresh_s: float) -> None:
    assert kept("max-age=60", age=age) == Keep(fresh_s)
    assert kept(age=age) is AS_POLICY


@pytest.mark.parametrize(
    ("vary", "is_kept"), [("*", False), ("accept, X-Request-Id", False), ("accept-encoding", True)]
)
def test_what_varies_by_the_unseen_is_not_kept(vary: str, is_kept: bool) -> None:
    assert (kept("max-age=60", vary=vary) is not None) is is_kept


@given(st.text(st.characters(max_codepoint=255)), st.text(max_size=10))
def test_no_header_is_too_odd_to_be_read(control: str, age: str) -> None:
    found = kept(control, age=age)
    assert found is None or min(found.fresh_s, found.revalidate_s, found.stale_s) >= 0
