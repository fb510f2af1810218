"""The examples of docs/how-to/test-failures.md, as they stand there."""

from tests.testkit.fault_proxy import Fault, FaultProxy
from tests.testkit.gateway import CUSTOMERS, running_gateway
from tests.testkit.upstream import ScriptedUpstream

QUERY = '{ customer(id: "1") { name } }'


async def test_a_kept_row_is_served_when_the_network_swallows_the_call() -> None:
    async with ScriptedUpstream(CUSTOMERS) as customers, FaultProxy(customers.server.port) as proxy:
        service = {"graphql": f"{proxy.url}/graphql", "rest": f"{proxy.url}/api", "timeout_s": 0.3}
        async with running_gateway({"services": {"customers": service}}) as gateway:
            assert (await gateway.ask(QUERY)).upstreams == []
            await proxy.set(Fault(silent=True))
            answered = await gateway.ask(QUERY)
            assert answered.data == {"customer": {"name": "Customer 1"}}
            assert answered.upstreams[0]["servedBy"] == "STALE"
