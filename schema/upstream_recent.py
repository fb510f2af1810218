"""The last quarter of an hour of an upstream, as fields: what a chart is drawn of."""

from collections.abc import Callable, Sequence
from datetime import datetime

import strawberry

from clients.series import SLOT_S, SLOTS, Slot

DESCRIPTION = (
    f"The last {SLOTS * SLOT_S / 60:g} minutes in slots of {SLOT_S:g} seconds, oldest first; the last one is not over, "
    "and soon after the start there are fewer."
)


@strawberry.type(description="Some seconds of an upstream's calls.")
class UpstreamSlot:
    """Some seconds of an upstream's calls."""

    at: datetime = strawberry.field(description="When it began.")
    seconds: float = strawberry.field(description="How long it was; of one that is not over, so far.")
    calls: int = strawberry.field(description="Calls that ended in it.")
    failed: int = strawberry.field(description="Of these, how many were not answered.")
    stale: int = strawberry.field(description="Of these, how many were answered with the last good rows.")
    p95_ms: float | None = strawberry.field(
        description="One in 20 took longer; estimated from counts by duration, as Prometheus does. Null without calls."
    )


def recent(slots: Sequence[Slot], wall: Callable[[float], datetime]) -> list[UpstreamSlot]:
    """Slots as the schema has them."""
    return [
        UpstreamSlot(
            at=wall(slot.at),
            seconds=round(slot.seconds, 3),
            calls=slot.counts.calls,
            failed=slot.counts.failed,
            stale=slot.counts.stale,
            p95_ms=None if slot.p95_s is None else round(slot.p95_s * 1000, 3),
        )
        for slot in slots
    ]
