"""Whether an upstream still understands the documents declared for it."""

from clients.auth import Bearer, Secret
from clients.operation import operation
from clients.protocols.contract import check_documents
from tests.clients.auth.support import authorized, wants
from tests.clients.support import MANY, ONE, REST_ONLY, Customer, rig
from tests.testkit.ports import bound_port
from tests.testkit.upstream import status


async def test_documents_that_the_upstream_knows_are_fine() -> None:
    async with rig("httpx") as made:
        assert await check_documents(made.service, [MANY, ONE, REST_ONLY]) == []
        assert made.calls == (1, 0), "introspection, and nothing else"


async def test_a_document_that_no_longer_fits_is_named_with_what_is_wrong() -> None:
    renamed = operation("crm", "renamed", row=Customer, graphql="{ customers { id fullName } }")
    async with rig("httpx") as made:
        [said] = await check_documents(made.service, [MANY, renamed])
        assert said.startswith("the operation renamed does not fit: Cannot query field 'fullName' on type 'Customer'")


async def test_an_upstream_that_gives_no_schema_is_one_sentence() -> None:
    async with rig("httpx") as made:
        made.script.graphql.behave(status(500))
        [said] = await check_documents(made.service, [MANY])
        assert said.startswith(f"no schema from {made.service.graphql}: ")
    with bound_port() as port:
        async with rig("httpx", graphql=f"http://127.0.0.1:{port}/graphql") as made:
            assert len(await check_documents(made.service, [MANY])) == 1


async def test_without_documents_or_graphql_nothing_is_asked() -> None:
    async with rig("httpx") as made:
        assert await check_documents(made.service, [REST_ONLY]) == []
        assert made.calls == (0, 0)
    async with rig("httpx", graphql=None) as made:
        assert await check_documents(made.service, [MANY]) == []


async def test_a_service_that_wants_a_credential_is_asked_over_its_own_wire() -> None:
    async with authorized(Bearer(Secret("abc"))) as made:
        made.script.graphql.behave(wants("Bearer abc"))
        assert await check_documents(made.service, [MANY], wire=made.wire) == []
        [said] = await check_documents(made.service, [MANY])
        assert "401" in said
        await made.script.refuse()
        [said] = await check_documents(made.service, [MANY], wire=made.wire)
        assert said.startswith(f"no schema from {made.service.graphql}: ")
