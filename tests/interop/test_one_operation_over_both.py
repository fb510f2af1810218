"""One declared operation, answered with the same rows by an Apollo Server and by a json-server."""

from dataclasses import replace

import msgspec
import pytest

from clients.call import Answer, Call, Caller, ServedBy
from clients.clock import SystemClock
from clients.operation import operation
from clients.policy import CachePolicy, RetryPolicy, ServicePolicy
from clients.protocols.contract import check_documents
from clients.service import Service
from clients.stores.memory import MemoryStore
from clients.transports.base import Wire
from clients.transports.httpx_wire import HttpxWire
from clients.transports.pyreqwest_wire import PyreqwestWire
from clients.upstream import Upstream
from tests.testkit.ports import bound_port

pytestmark = pytest.mark.node


class Customer(msgspec.Struct):
    """A row of both servers."""

    id: str
    name: str
    email: str


CUSTOMERS = operation(
    "crm",
    "customers",
    row=Customer,
    key="id",
    graphql="query ($id: [ID!]!) { customers(ids: $id) { id name email } }",
    rest="GET /customers{?id*}",
)


async def ask(service: Service, wire: type[Wire], *ids: str) -> Answer:
    once = ServicePolicy(retry=RetryPolicy(attempts=1), cache=CachePolicy(stale_if_error_s=0))
    sender = wire()
    store = MemoryStore(10, 10_000, SystemClock())
    call = Call(CUSTOMERS, {"id": []}, Caller("r", "c")).for_keys(ids)
    try:
        async with Upstream(replace(service, policy=once), sender, store) as upstream:
            return await upstream.execute(call)
    finally:
        await sender.aclose()


@pytest.mark.parametrize("wire", [PyreqwestWire, HttpxWire])
async def test_the_same_rows_over_both(apollo_url: str, json_server_url: str, wire: type[Wire]) -> None:
    with bound_port() as port:  # refuses connections
        refused = f"http://127.0.0.1:{port}/graphql"
        both = Service("crm", ServicePolicy(), graphql=apollo_url, rest=json_server_url)
        over_graphql = await ask(both, wire, "3", "1", "nobody")
        over_rest = await ask(replace(both, graphql=refused), wire, "3", "1", "nobody")
    assert over_graphql.served.by is ServedBy.GRAPHQL
    assert over_rest.served.by is ServedBy.REST
    assert over_rest.served.reason == "UPSTREAM_UNREACHABLE"
    assert over_graphql.value == over_rest.value
    assert [row and row.id for row in over_graphql.value] == ["3", "1", None]


async def test_the_document_fits_the_servers_own_schema(apollo_url: str) -> None:
    service = Service("crm", ServicePolicy(), graphql=apollo_url)
    assert await check_documents(service, [CUSTOMERS]) == []
    wrong = operation("crm", "wrong", row=dict[str, str], many=True, graphql="{ customers { nothing } }")
    (message,) = await check_documents(service, [wrong])
    assert message.startswith("the operation wrong does not fit: ")
