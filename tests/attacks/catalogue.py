"""The attacks: what is sent, and what passes as a clean answer to it."""

import asyncio
import gzip
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.attacks.target import CLOSED, Reply, Target, get, post, query

Send = Callable[[Target], Awaitable[list[Reply]]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        name: of the attack.
        passes: the criterion, for people.
        send: carries it out, and gives every reply that came.
        statuses: that each reply may have; 0 for a closed connection.
        code: that each reply has to have, where it is GraphQL's.
        most: replies there may be.
        lenient: a status may come with data, for it is nothing to refuse.
    """

    name: str
    passes: str
    send: Send
    statuses: frozenset[int]
    code: str | None = None
    most: int = 1
    lenient: bool = False

    def verdict(self, replies: Sequence[Reply]) -> str:
        """Why it did not pass; empty when it did."""
        wrong = [reply.status for reply in replies if reply.status not in self.statuses]
        if wrong:
            return f"answered {wrong}; expected {sorted(self.statuses)}"
        if self.code is not None and any(reply.codes != {self.code} for reply in replies):
            return f"answered {[sorted(reply.codes) for reply in replies]}; expected {self.code}"
        if sum(reply is not CLOSED for reply in replies) > self.most:
            return f"{len(replies)} answers; expected {self.most} at most"
        if not self.lenient and any(b'"data"' in reply.body for reply in replies):
            return "something was executed"
        return ""


def once(*pieces: bytes, replies: int = 1, end: bool = False) -> Send:
    """One connection."""

    async def send(target: Target) -> list[Reply]:
        return await target.send(*pieces, replies=replies, end=end)

    return send


def refused(name: str, *pieces: bytes, code: str = "LIMIT_EXCEEDED", status: int = 400) -> Attack:
    """An attack that is refused in so many words."""
    return Attack(name, f"{status} `{code}`", once(*pieces), frozenset({status}), code)


def doubled(levels: int) -> str:
    """Fragments that stand for two to that many fields."""
    body = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{{ ...F0 }} {body} fragment F{levels} on Query {{ invoices(first: 1) {{ id }} }}"


async def _slow_heads(target: Target) -> list[Reply]:
    """200 connections that say a little and no more; the gateway answers others meanwhile, and then lets go."""
    opened = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(200)]
    for index, (_, writer) in enumerate(opened):
        if index % 2:
            writer.write(b"POST /graphql HTTP/1.1\r\nhost: a\r\nx-slow")
            await writer.drain()
    answered = await target.healthy()
    replies = []
    for reader, writer in opened:
        async with asyncio.timeout(20):
            line = await reader.readline()
        replies.append(Reply(int(line.split()[1])) if line else CLOSED)
        writer.transport.abort()
    return replies if answered else [Reply(-1)]


async def _pipelined(target: Target) -> list[Reply]:
    return await target.send(query("{ __typename }") * 200, replies=200)


async def _pipelined_and_gone(target: Target) -> list[Reply]:
    for _ in range(20):
        with suppress(OSError):
            await target.send(query("{ invoices { id } }") * 100, replies=1)
    return [CLOSED]


_SMUGGLED = b"GET /health/live HTTP/1.1\r\nhost: smuggled\r\n\r\n"
_HEAD = b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
_BODY = json.dumps({"query": "{ nothing }"}).encode()
_REFUSED = frozenset({0, 400})
_CHUNK = b"%x\r\n%s\r\n" % (len(_BODY), _BODY)


def garbage(size: int) -> bytes:
    """The same random bytes every time."""
    return random.Random(size).randbytes(size)


def attacks() -> list[Attack]:
    """All of them, in the order of the report."""
    return [*_documents(), *_bodies(), *_connections(), *_smuggling(), *_addresses()]


def _documents() -> list[Attack]:
    known = "{ invoices { customer { account { currency } } ... { id " + "customer { " * 500 + "id" + " }" * 502
    invalid = "GRAPHQL_VALIDATION_FAILED"
    overlapping = " ".join(f"invoices(first: {n}) {{ id }}" for n in range(20))
    introspection = "{ __schema { types " + "{ fields { type " * 6 + "{ name }" + " } }" * 6 + " } }"
    return [
        refused("a fragment bomb of 26 levels", query(doubled(26))),
        refused("a fragment bomb of 400 levels", query(doubled(400))),
        refused("500 levels of selections", query("{ a " * 500 + "{ b }" + " }" * 500)),
        refused("500 levels below a field of the schema", query(known)),
        refused("500 levels of inline fragments", query("{ ... " * 500 + "{ id }" + " }" * 500)),
        refused("500 levels of lists in an argument", query("{ a(b: " + "[" * 500 + "]" * 500 + ") }")),
        refused("100,000 aliases", query("{" + "a:id " * 100_000 + "}")),
        refused("1,600 aliases", query("{" + "a: __typename " * 1_600 + "}")),
        refused("4,900 root fields", query("{" + "__typename " * 4_900 + "}")),
        refused(
            "a field 160,000 times, by a fragment",
            query("{ invoices {" + "...F " * 1_600 + "} } fragment F on Invoice {" + "id " * 100 + "}"),
        ),
        refused("1,600 directives", query("{ __typename" + " @a" * 1_600 + " }")),
        refused("51 directives on a field", query("{ __typename" + " @include(if: true)" * 51 + " }")),
        refused("5,005 tokens", query("{ invoices { " + "id " * 5_000 + "} }")),
        refused("60,000 comments", query("#\n" * 60_000 + "{ __typename }")),
        refused("an unclosed block string of 120 kB", query('"""\\' * 30_000)),
        refused("a string of 60,000 escapes", query('{ a(b: "' + "\\n" * 60_000 + '") }')),
        refused("a block string of 120,000 lines", query('{ a(b: """' + "\n" * 120_000 + '""") }')),
        refused("a NUL in the document", query("{ __typename \0 }"), code="GRAPHQL_PARSE_FAILED"),
        refused("a million spaces", query("{ __typename }" + " " * 980_000)),
        refused(
            "fragments in a circle",
            query("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"),
            code=invalid,
        ),
        refused("20 fields that contradict one another", query(f"{{ {overlapping} }}"), code=invalid),
        refused("introspection, in a circle", query(introspection), code=invalid),
        refused(
            "an operation's name of 500 kB",
            query("{ __typename }", operationName="a" * 500_000),
            code="OPERATION_RESOLUTION_FAILURE",
        ),
    ]


def _bodies() -> list[Attack]:
    bad = "BAD_REQUEST"
    nested = b'{"query": "{ __typename }", "variables": {"a": %s%s}}'
    digits = b'{"query": "{ __typename }", "variables": {"a": %s}}' % (b"9" * 100_000)
    twice = b'{"query": "{ __schema { a } }", "query": "{ __typename }", "query": "{ no }"}'
    many = b"[" + b'{"query":"{__typename}"},' * 9_999 + b"{}]"
    bomb = gzip.compress(b" " * 50_000_000)
    return [
        refused("variables nested 500 deep", post(nested % (b"[" * 500, b"]" * 500))),
        refused("300 kB of variables", query("{ __typename }", variables={"a": "x" * 300_000})),
        refused("JSON nested 500 deep", post(b'{"a":' * 500 + b"1" + b"}" * 500), code=bad),
        refused("JSON nested 400,000 deep", post(b"[" * 400_000), code=bad),
        refused("10,000 requests in an array", post(many), code=bad),
        refused("900 kB of garbage", post(garbage(900_000)), code=bad),
        refused("more than 1 MB of garbage", post(garbage(1_000_001)), code="PAYLOAD_TOO_LARGE", status=413),
        refused("invalid UTF-8", post(b'{"query": "{ __typename \xff\xfe }"}'), code=bad),
        refused("overlong UTF-8", post(b'{"query": "{ __typename \xc0\xaf }"}'), code=bad),
        refused("half a surrogate", post(b'{"query": "{ __typename(a: \\"\\ud800\\") }"}'), code=bad),
        refused("a NUL in the body", post(b'{"query": "{ __typename \x00 }"}'), code=bad),
        refused("an empty body", post(b""), code=bad),
        Attack("a number of 100,000 digits", "200 or 400", once(post(digits)), frozenset({200, 400}), lenient=True),
        Attack("keys that are there three times", "400", once(post(twice)), frozenset({400})),
        Attack(
            "50 MB in 50 kB of gzip",
            "413 or 415; nothing is decompressed beyond the limit",
            once(post(bomb, b"content-encoding: gzip")),
            frozenset({400, 413, 415}),
        ),
    ]


def _connections() -> list[Attack]:
    chunked = post(b"", b"transfer-encoding: chunked").replace(b"content-length: 0\r\n", b"")
    chunk = b"ffff\r\n" + b" " * 65_535 + b"\r\n"
    large = frozenset({0, 431})
    begun = b"GET /graphql HTTP/1.1\r\nhost: a\r\n"
    header = b"x-%s: %s\r\n" % (b"a" * 50, b"b" * 900)
    return [
        Attack(
            "chunks without end", "413, and closed", once(chunked, *[chunk] * 1_000, replies=2), frozenset({0, 413})
        ),
        Attack("headers without end", "431 or closed", once(begun, *[header] * 50_000), large),
        Attack("a header without end", "431 or closed", once(begun + b"x-a: ", *[b"b" * 60_000] * 800), large),
        Attack(
            "a request line without end",
            "400, 414, 431 or closed",
            once(b"GET /graphql?query=", *[b"a" * 60_000] * 800),
            frozenset({0, 400, 414, 431}),
        ),
        Attack(
            "200 connections with slow headers",
            "408 or closed; others are answered meanwhile",
            _slow_heads,
            frozenset({0, 408}),
            most=200,
        ),
        Attack("200 requests in one write", "200 answers", _pipelined, frozenset({200}), most=200, lenient=True),
        Attack("100 requests in one write, unread, 20 times", "closed", _pipelined_and_gone, frozenset({0})),
        Attack("HTTP/2 without asking", "400 or closed", once(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), _REFUSED),
        Attack("TLS where there is none", "400 or closed", once(b"\x16\x03\x01\x02\x00\x01" + garbage(500)), _REFUSED),
    ]


def _smuggling() -> list[Attack]:
    length = len(_BODY)
    encoded = _HEAD + b"transfer-encoding: "
    both = b"content-length: %d\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" % len(_SMUGGLED)
    two = b"content-length: %d\r\ncontent-length: 0\r\n\r\n" % length
    empty = b"content-length: 0\r\n\r\n"
    last = _CHUNK + b"0\r\n\r\n"
    requests = {
        "Content-Length and Transfer-Encoding": _HEAD + both,
        "two Content-Lengths": _HEAD + two + _BODY,
        "a list of Content-Lengths": _HEAD + b"content-length: %d, 0\r\n\r\n" % length + _BODY,
        "a signed Content-Length": _HEAD + b"content-length: +%d\r\n\r\n" % length + _BODY,
        "an unknown Transfer-Encoding": encoded + b"xchunked\r\n\r\n" + last,
        "chunked, but not last": encoded + b"chunked, identity\r\n\r\n" + last,
        "a space before the colon": _HEAD + b"transfer-encoding : chunked\r\n" + empty,
        "a folded header": encoded + b"\r\n chunked\r\n" + empty,
        "a chunk of negative size": encoded + b"chunked\r\n\r\n-1\r\n\r\n",
        "a chunk of a size too large": encoded + b"chunked\r\n\r\n" + b"f" * 32 + b"\r\n",
        "lines that end in LF alone": b"POST /graphql HTTP/1.1\nhost: a\ncontent-length: 0\n\n",
        "a NUL in a header": _HEAD + b"x-a: b\0c\r\n" + empty,
    }
    passes = "400 or closed; never a second answer"
    return [
        Attack(f"smuggling: {name}", passes, once(raw + _SMUGGLED, replies=2, end=True), _REFUSED)
        for name, raw in requests.items()
    ]


def _addresses() -> list[Attack]:
    two_hosts = _HEAD + b"host: b\r\ncontent-length: 0\r\n\r\n"
    elsewhere = get("http://evil.test/graphql?query={no}")
    not_found = frozenset({400, 404})
    return [
        Attack("two Hosts", "400", once(two_hosts), frozenset({400})),
        Attack("somebody else's Host", "it is in no answer", _host, frozenset({200, 404}), most=9, lenient=True),
        Attack("another host in the request line", "400 or 404", once(elsewhere), not_found),
        Attack("paths beside the endpoint", "400 or 404", _paths, not_found, most=9),
        Attack("methods that are none of ours", "405", _methods, frozenset({400, 405}), most=9),
    ]


async def _host(target: Target) -> list[Reply]:
    replies = []
    for path in ("/graphql?query={__typename}", "/graphql/", "/health"):
        [reply] = await target.send(get(path).replace(b"gateway.test", b"evil.test"))
        told = b"evil.test" in reply.body or "evil.test" in str(reply.headers)
        replies.append(Reply(-1) if told else reply)
    return replies


async def _paths(target: Target) -> list[Reply]:
    paths = ("//graphql", "/graphql/../graphql", "/GRAPHQL", "/graphql%00", "/%67raphql%2f", "/graphql;a=b", "/.env")
    return [reply for path in paths for reply in await target.send(get(f"{path}?query={{__typename}}"))]


async def _methods(target: Target) -> list[Reply]:
    methods = ("PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT")
    return [
        reply for method in methods for reply in await target.send(get("/graphql").replace(b"GET", method.encode()))
    ]
