"""The schema of the demo, compiled and on graphql-core, over scripted upstreams that fail alike."""

from typing import Any

import pytest

from tests.testkit.gateway import Gateway, canonical, running_gateway
from tests.testkit.upstream import Behaviour, RecordedCall, errors, malformed, ok, status, wrong_shape

_FIELDS = "id number total currency status issuedOn"
QUERIES = [
    f"invoices(first: 5) {{ {_FIELDS} customer {{ id name tier account {{ maskedNumber balance }} balance }} }}",
    'customers(ids: ["1", "999", "2"]) { id name account { balance currency } } one: customer(id: "3") { email }',
    f'a: invoice(id: "1") {{ {_FIELDS} customer {{ name }} }} b: invoice(id: "2") {{ customer {{ name balance }} }}',
    "upstreams { name status circuits { protocol state lastError { code } } }"
    " health { status checks { name status reason } }",
]
_ON_GRAPHQL_CORE = "schema: __schema { queryType { name } }"  # which has no program


@pytest.mark.parametrize(
    ("customers", "rest", "bank"),
    [
        (ok(), ok(), ok()),
        (status(500), ok(), ok()),
        (status(500), status(500), ok()),
        (errors("no", code="FORBIDDEN"), ok(), ok()),
        (malformed(), wrong_shape(), ok()),
        (ok(), ok(), status(503)),
        (ok(), ok(), wrong_shape()),
    ],
)
async def test_both_give_the_same_answers_and_ask_for_the_same(
    customers: Behaviour, rest: Behaviour, bank: Behaviour
) -> None:
    async with running_gateway() as compiled, running_gateway() as plain:
        for gateway in (compiled, plain):
            gateway.customers.graphql.behave(customers)
            gateway.customers.rest.behave(rest)
            gateway.bank.rest.behave(bank)
            gateway.customers.fail_key("2", code="FORBIDDEN")
            del gateway.customers.rows["4"]
        for query in QUERIES:
            mine = await compiled.ask(f"{{ {query} }}")
            theirs = await plain.ask(f"{{ {query} {_ON_GRAPHQL_CORE} }}")
            assert theirs.data.pop("schema")
            assert canonical(mine.data) == canonical(theirs.data)
            assert _told(mine.errors) == _told(theirs.errors)
            assert _sorted(mine.upstreams) == _sorted(theirs.upstreams)
            assert _asked_for(compiled) == _asked_for(plain)


def _told(found: list[dict[str, Any]]) -> list[bytes]:
    """Without what is of one request alone."""
    for error in found:
        for name in ("requestId", "timestamp"):
            error["extensions"].pop(name, None)
    return sorted(canonical(error) for error in found)


def _asked_for(gateway: Gateway) -> list[list[str]]:
    """The keys that each endpoint was asked for; which come together in one call is a matter of time."""
    by_graphql = (gateway.customers.graphql, gateway.invoices.graphql)
    by_rest = (gateway.customers.rest, gateway.invoices.rest, gateway.bank.rest)
    return [
        *([sorted(str(call.variables) for call in gateway.invoices.graphql.calls)]),
        *(sorted(key for call in endpoint.calls for key in call.variables.get("ids", ())) for endpoint in by_graphql),
        *(sorted(key for call in endpoint.calls for key in _in_query(call)) for endpoint in by_rest),
    ]


def _in_query(call: RecordedCall) -> list[str]:
    return [key for values in call.query.values() for value in values for key in value.split(",")]


def _sorted(notes: Any) -> list[str]:
    """What was degraded; in which order the upstreams answered is theirs to say."""
    return sorted(repr(note) for note in notes)
