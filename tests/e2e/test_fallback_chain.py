"""What a client sees on each step of the fallback chain, from another service to null."""

from tests.testkit.gateway import CUSTOMERS, running_gateway
from tests.testkit.upstream import ScriptedUpstream, status

QUERY = '{ customer(id: "1") { name tier } invoice(id: "1") { number } }'
NOBODY = {"name": "unknown", "email": "", "tier": "BRONZE"}


async def test_each_step_of_the_chain_answers_and_says_so_and_its_siblings_stay_as_they_are() -> None:
    renamed = [{**row, "name": f"{row['name']} of the replica"} for row in CUSTOMERS]
    async with ScriptedUpstream(renamed) as replica:
        services = {
            "customers": {"fallback": {"service": "replica", "defaults": {"Customer.by_id": NOBODY}}},
            "replica": {"graphql": replica.graphql.url, "retry": {"attempts": 1}},
        }
        async with running_gateway({"services": services}) as gateway:
            for endpoint in (gateway.customers.graphql, gateway.customers.rest):
                endpoint.behave(status(503))
            answered = await gateway.ask(QUERY)
            assert answered.data == {
                "customer": {"name": "Customer 1 of the replica", "tier": "gold"},
                "invoice": {"number": "INV-1"},
            }
            assert answered.errors == []
            note = {
                "service": "customers",
                "path": ["customer"],
                "servedBy": "ALTERNATIVE",
                "reason": "UPSTREAM_SERVER_ERROR",
                "ageMs": None,
                "count": 1,
            }
            assert answered.upstreams == [note]
            replica.graphql.behave(status(503))
            stale = await gateway.ask(QUERY)
            assert stale.data == answered.data
            assert [entry["servedBy"] for entry in stale.upstreams] == ["STALE"]
            other = await gateway.ask('{ customer(id: "2") { id name tier } invoice(id: "1") { number } }')
            assert other.data["customer"] == {"id": "2", "name": "unknown", "tier": "BRONZE"}
            assert other.errors == []
            assert other.upstreams == [{**note, "servedBy": "DEFAULT", "reason": "SERVICE_UNAVAILABLE"}]
            served = await gateway.ask("{ upstreams { name servedBy { graphql stale alternative default failed } } }")
            counts = {each["name"]: each["servedBy"] for each in served.data["upstreams"]}
            nothing = dict.fromkeys(("graphql", "stale", "alternative", "default", "failed"), 0)
            assert counts["customers"] == {**nothing, "alternative": 1, "stale": 1, "default": 1}
            assert counts["replica"] == {**nothing, "graphql": 1, "failed": 2}


async def test_at_the_end_of_the_chain_a_nullable_field_is_null_with_its_error_and_its_siblings_are_intact() -> None:
    async with running_gateway() as gateway:
        for endpoint in (gateway.customers.graphql, gateway.customers.rest):
            endpoint.behave(status(503))
        answered = await gateway.ask(QUERY)
        assert answered.data == {"customer": None, "invoice": {"number": "INV-1"}}
        (error,) = answered.errors
        assert (error["path"], error["extensions"]["code"]) == (["customer"], "SERVICE_UNAVAILABLE")
        answered = await gateway.ask("{ invoices(first: 2) { number customer { name } } }")
        assert answered.data == {"invoices": [{"number": f"INV-{i}", "customer": None} for i in (1, 2)]}
        assert [error["path"] for error in answered.errors] == [["invoices", i, "customer"] for i in (0, 1)]


async def test_a_refusal_is_the_clients_to_see_whatever_stands_behind_the_service() -> None:
    async with ScriptedUpstream(CUSTOMERS) as replica:
        services = {
            "customers": {"fallback": {"service": "replica", "defaults": {"Customer.by_id": NOBODY}}},
            "replica": {"graphql": replica.graphql.url},
        }
        async with running_gateway({"services": services}) as gateway:
            gateway.customers.graphql.behave(status(403))
            answered = await gateway.ask(QUERY)
            assert answered.data == {"customer": None, "invoice": {"number": "INV-1"}}
            assert answered.codes == ["UPSTREAM_REJECTED"]
            assert replica.graphql.calls == []
