"""Carries attacks out, one after the other, and writes down what came of each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.attacks.catalogue import Attack
from tests.attacks.target import CLOSED, Target

FLAT_BYTES = 48_000_000
"""Memory that an attack may leave behind: what the allocator keeps of the largest bodies, and no more."""


_PAGE = """\
# Attacks

What was sent to `gateway serve` over a socket, in its default configuration (production), and what came of it. After
each, the gateway was alive, answered another client, and had logged no failure of its own.

Made by `.venv/bin/python -m tests.attacks --write docs/attacks.md`. `make test` carries all of it out, and judges all
but the time.

{passed} of {total} passed; {before} resident before the first, {after} after the last. CPU is what the gateway's
process spent on the attack, nothing cached, from the socket to the socket.

| attack | passes | answered | CPU, ms |
|---|---|---|---|
{attacks}

## graphql-cop

The twelve checks of [graphql-cop](https://github.com/dolevf/graphql-cop). The one of GET asks as a browser does for
another site's page; without that it is a request that any program may make. {clean} of 12 found nothing.

| check | what is looked for | found |
|---|---|---|
{checks}
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attack.

    Attributes:
        failed: why it did not pass; empty when it did.
        answers: the statuses that came, `closed` among them.
        cpu_ms: processor time that it cost the gateway.
        kept_bytes: memory that the gateway had more of afterwards.
    """

    attack: Attack
    failed: str
    answers: str
    cpu_ms: float
    kept_bytes: int


async def carry_out(attack: Attack, target: Target) -> Outcome:
    """One attack; then the gateway has to be there, answer others, and hold no more memory than before."""
    log_size, calls = target.log.stat().st_size, target.calls
    memory, cpu_ms = target.rss_bytes(), target.cpu_ms()
    replies = await attack.send(target)
    await asyncio.sleep(0)
    cpu_ms = target.cpu_ms() - cpu_ms
    reached = target.calls - calls
    kept = target.rss_bytes() - memory
    failed = attack.verdict(replies)
    if not failed and not target.alive:
        failed = "the gateway is gone"
    elif not failed and not await target.healthy():
        failed = "the gateway does not answer any more"
    elif not failed and kept > FLAT_BYTES:
        failed = f"{kept:,} bytes of memory are kept"
    elif not failed and (troubles := target.troubles(log_size)):
        failed = f"the log says: {troubles[0][:300]}"
    elif not failed and reached and not attack.lenient and attack.statuses.isdisjoint({0}):
        failed = f"{reached} calls reached upstreams"
    seen = sorted({"closed" if reply is CLOSED else str(reply.status) for reply in replies})
    return Outcome(attack, failed, ", ".join(seen), cpu_ms, kept)


def page(outcomes: Sequence[Outcome], cop: Sequence[tuple[str, str, str]], memory: Sequence[int]) -> str:
    """The report as docs/attacks.md has it; `memory` in bytes, before and after."""
    return _PAGE.format(
        passed=sum(not outcome.failed for outcome in outcomes),
        total=len(outcomes),
        before=f"{memory[0] / 1e6:.0f} MB",
        after=f"{memory[1] / 1e6:.0f} MB",
        attacks="\n".join(_row(outcome) for outcome in outcomes),
        clean=sum(not found for *_, found in cop),
        checks="\n".join(f"| {name} | {looked_for} | {found or 'nothing'} |" for name, looked_for, found in cop),
    )


def _row(outcome: Outcome) -> str:
    answered = f"{outcome.answers}; FAILED: {outcome.failed}" if outcome.failed else outcome.answers
    return f"| {outcome.attack.name} | {outcome.attack.passes} | {answered} | {outcome.cpu_ms:.1f} |"
