"""Descriptions: the one most subgraphs agree on."""

from collections import Counter
from collections.abc import Iterable

from gateway.federation.composition.errors import Problems


def merge_descriptions(coordinate: str, descriptions: Iterable[str | None], problems: Problems) -> str | None:
    """The most frequent text, the first among equals; None when no subgraph has one."""
    counts = Counter(text for text in descriptions if text)
    if len(counts) > 1:
        message = f'"{coordinate}" is described differently in different subgraphs; the most frequent text is kept'
        problems.hint("INCONSISTENT_DESCRIPTION", message, coordinates=[coordinate])
    return counts.most_common(1)[0][0] if counts else None
