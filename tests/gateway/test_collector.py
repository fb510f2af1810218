import gc
import weakref
from collections.abc import Iterator

import pytest

from gateway import collector


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


class Node:
    """Refers to itself, as a schema does."""

    def __init__(self) -> None:
        self.itself = self


def test_a_server_collects_less_often() -> None:
    before = gc.get_threshold()
    collector.tune()
    assert all(now > then for now, then in zip(gc.get_threshold(), before, strict=True))


def test_what_is_there_is_left_out_of_later_collections_until_it_was_replaced() -> None:
    node = Node()
    gone = weakref.ref(node)
    collector.settle()
    del node
    gc.collect()
    assert gone() is not None
    collector.settle()
    assert gone() is None
