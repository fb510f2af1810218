"""Requests that nobody would write, by the thousand: `python -m tests.attacks.fuzz --requests 10000 --seed 1`.

Half are operations that hypothesis-graphql makes of the schema; the other half are those with bytes of the body, or of
the whole request, changed. Upstreams fail meanwhile, with a secret in what they say.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphql import print_schema
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis_graphql import from_schema

from schema.build import build_schema, core_schema
from tests.attacks.target import CANARY, Reply, Target, post, target
from tests.testkit.upstream import errors, sequence, status

MODULES = ("schema.customers", "schema.invoices", "tests.attacks.fields")
_AT_ONCE = 8
_PATIENCE_S = 0.25  # for the rest of a request that is not whole
_WAITING = Reply(-1)
_EXPECTED = frozenset({-1, 0, 200, 400, 403, 404, 405, 406, 408, 411, 413, 414, 415, 431})
_BYTES = (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\r\n", b"\t" * 9, b"%00", b"\\ud800")
_SYNTAX = (b'"', b"\\", b"{", b"}" * 40, b"[" * 40, b"...", b"@a", b"#", b'"""', b"$a", b":", b"__schema{types{name}}")
_VALUES = (b"null", b"true", b"-1", b"1e400", b"9" * 400)
_PIECES = (*_BYTES, *_SYNTAX, *_VALUES)


@dataclass(slots=True)
class Result:
    """What came of a run: how many of each status, and what should not have been."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def operations(count: int, chance: int) -> list[str]:
    """That many operations on the schema, the same for the same `chance`."""
    found: list[str] = []
    text = print_schema(core_schema(build_schema(MODULES)))

    generated = settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])

    @seed(chance)
    @settings(generated, suppress_health_check=list(HealthCheck))
    @given(from_schema(text, allow_x00=True))
    def collect(operation: str) -> None:
        found.append(operation)

    collect()
    return found


def requests(count: int, chance: int, texts: Sequence[str]) -> list[tuple[bytes, bool]]:
    """That many requests, and of each whether it is whole: whether its head says what follows."""
    drawn = random.Random(chance)
    made = []
    for number in range(count):
        body = json.dumps({"query": drawn.choice(texts), "variables": drawn.choice(({}, None, {"a": [1]}))}).encode()
        if number % 4 == 1:
            body = _mutated(body, drawn)
        request = post(body, *([] if drawn.random() < 0.7 else [b"accept: */*"]))
        if number % 4 == 3:
            head, _, rest = request.partition(b"\r\n\r\n")
            request = _mutated(head, drawn) + b"\r\n\r\n" + rest
        made.append((request, number % 4 != 3))
    return made


def _mutated(text: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(changed) + 1)
        to = min(len(changed), at + drawn.randint(0, 12))
        change: Callable[[], bytes] = drawn.choice(
            (
                lambda: drawn.randbytes(drawn.randint(1, 6)),
                lambda: drawn.choice(_PIECES),
                lambda: b"",
                lambda at=at, to=to: bytes(changed[at:to]) * drawn.randint(2, 30),
            )
        )
        changed[at:to] = change()
    return bytes(changed)


async def run(attacked: Target, made: Sequence[tuple[bytes, bool]]) -> Result:
    """Send the requests, some at once, and look at every answer and at the log."""
    result = Result()
    queue = list(reversed(made))

    async def worker() -> None:
        while queue:
            request, whole = queue.pop()
            try:
                async with asyncio.timeout(None if whole else _PATIENCE_S):
                    [reply] = await attacked.send(request)
            except TimeoutError:
                reply = _WAITING
            result.statuses[_name(reply)] += 1
            if reply.status not in _EXPECTED:
                result.wrong.append(f"{reply.status} for {request[-300:]!r}")
            told = reply.body + repr(reply.headers).encode()
            if CANARY.encode() in told or b"Traceback" in told or b'File "' in told:
                result.wrong.append(f"{told[-500:]!r} for {request[-300:]!r}")

    since = attacked.log.stat().st_size
    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    if not await attacked.healthy():
        result.wrong.append("the gateway does not answer any more")
    for line in attacked.log.read_bytes()[since:].decode("utf-8", "replace").splitlines():
        if CANARY in line or "Traceback" in line or "Exception in" in line:
            result.wrong.append(f"log: {line[:500]}")
        elif '"masked error"' in line and r"in explodes\n  RuntimeError" not in line:  # the one that is to fail
            result.wrong.append(f"masked: {line[-700:]}")
    return result


def _name(reply: Reply) -> str:
    return {0: "closed", _WAITING.status: "waits for more"}.get(reply.status, str(reply.status))


def break_upstreams(attacked: Target) -> None:
    """Let services fail, each now and then or always, with the secret in what they say."""
    page = status(500, body={"error": f"at {CANARY}"}, headers={"x-debug": CANARY, "retry-after": "0"})
    refused = errors(f"at {CANARY}", code="DENIED")
    beside = errors(f"at {CANARY}", code=CANARY, data={"customers": [None]})
    attacked.upstreams["customers"].graphql.behave(sequence(*[refused, beside] * 2_000, page, then=page))
    attacked.upstreams["customers"].rest.behave(status(302, headers={"location": f"http://{CANARY}.test/"}))
    attacked.upstreams["bank"].rest.behave(sequence(page, status(403, body=CANARY), then=page))


async def _main(count: int, chance: int) -> int:
    made = requests(count, chance, operations(min(count, 1_500), chance))
    with tempfile.TemporaryDirectory() as folder:
        async with target(Path(folder), modules=MODULES) as attacked:
            break_upstreams(attacked)
            result = await run(attacked, made)
    for name, number in sorted(result.statuses.items()):
        sys.stdout.write(f"{name:>15} {number:>7,}\n")
    for wrong in result.wrong[:20]:
        sys.stdout.write(f"WRONG {wrong}\n")
    sys.stdout.write(f"{len(result.wrong)} wrong of {count:,}\n")
    return len(result.wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args()
    sys.exit(1 if asyncio.run(_main(options.requests, options.seed)) else 0)


if __name__ == "__main__":
    main()
