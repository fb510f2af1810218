"""@authenticated, @requiresScopes and @policy: what a caller may not see is null, and nobody is asked for it."""

from collections.abc import Collection
from typing import Any

import pytest
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse

from clients.call import Caller
from gateway.access.guard import Access
from gateway.federation.composition import Subgraph, compose
from gateway.federation.errors import SupergraphError
from gateway.federation.executor import SubgraphResponse
from gateway.federation.supergraph import parse_supergraph
from gateway.http.documents import Document, Operation
from gateway.http.errors import LimitExceeded, Unauthorized
from tests.federation.kit import World, supergraph
from tests.federation.kit.guarded import GuardedFederation
from tests.testkit.execution import withheld

LINKS = """
  @link(url: "https://specs.apollo.dev/authenticated/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/requiresScopes/v0.1", for: SECURITY)
  @link(url: "https://specs.apollo.dev/policy/v0.1", for: SECURITY)
"""
BODY = """
    type Query {
      ships: [Ship!]! @join__field(graph: A)
      flag: Flag @join__field(graph: A)
      port: String @join__field(graph: B) @requiresScopes(scopes: [["ports"]])
      depth: Int! @join__field(graph: B) @authenticated
      log: Log @join__field(graph: B)
      found: [Found] @join__field(graph: A)
      owner: Owner @join__field(graph: A)
      owners: [Owner] @join__field(graph: A)
    }
    type Mutation {
      sink(id: ID!): String @join__field(graph: A) @requiresScopes(scopes: [["sink"]])
      wave: String @join__field(graph: A)
    }
    type Ship @join__type(graph: A, key: "id") @join__type(graph: B, key: "id") @join__type(graph: C, key: "id") {
      id: ID! @requiresScopes(scopes: [["ids"]])
      name: String @join__field(graph: A)
      load: Int @join__field(graph: B) @join__field(graph: C, external: true) @authenticated
      tonnage: Int! @join__field(graph: B) @requiresScopes(scopes: [["a", "b"], ["c"]])
      draught: Int @join__field(graph: C, requires: "load")
      captain: Captain @join__field(graph: C)
    }
    interface Owner @join__type(graph: A) { name: String ship: Ship }
    type Captain implements Owner
      @join__type(graph: A) @join__type(graph: C) @join__implements(graph: A, interface: "Owner") {
      name: String @authenticated
      ship: Ship @join__field(graph: A)
      rank: String @policy(policies: [["officer", "sober"], ["admiral"]])
    }
    type Company implements Owner @join__type(graph: A) @join__implements(graph: A, interface: "Owner") {
      name: String
      ship: Ship @requiresScopes(scopes: [["company"]])
    }
    type Log @join__type(graph: B) @authenticated { lines: [String] }
    enum Flag @join__type(graph: A) @authenticated { SPAIN @join__enumValue(graph: A) }
    union Found
      @join__type(graph: A) @join__unionMember(graph: A, member: "Ship") @join__unionMember(graph: A, member: "Company")
      = Ship | Company
"""
SDL = supergraph(BODY, "a", "b", "c", links=LINKS)

CAPTAIN: dict[str, Any] = {"__typename": "Captain", "name": "Ada", "rank": "one"}
PINTA = {
    "__typename": "Ship",
    "id": "s1",
    "name": "Pinta",
    "load": 10,
    "tonnage": 70,
    "draught": 2,
    "captain": CAPTAIN,
}
NINA = {**PINTA, "id": "s2", "name": "Nina"}
CAPTAIN["ship"] = PINTA
COMPANY = {"__typename": "Company", "name": "Sea Ltd", "ship": NINA}
WORLD = World(
    {
        "ships": [PINTA, NINA],
        "flag": "SPAIN",
        "port": "Palos",
        "depth": 9,
        "log": {"__typename": "Log", "lines": ["calm"]},
        "found": [PINTA, COMPANY],
        "owner": CAPTAIN,
        "owners": [CAPTAIN, COMPANY, None],
        "sink": lambda **given: f"{given['id']} sank",
        "wave": "hello",
    },
    [PINTA, NINA],
    {"Ship.draught": lambda known, _: known["load"] // 5},
)


def federation(access: Access | None = None) -> GuardedFederation:
    return GuardedFederation(SDL, WORLD, access=access)


async def test_a_withheld_field_is_null_with_an_error_and_nobody_is_asked_for_it() -> None:
    asked = federation()
    answer = await asked.ask("{ ships { name load } port }")
    assert answer["data"] == {"ships": [{"name": "Pinta", "load": None}, {"name": "Nina", "load": None}], "port": None}
    assert withheld(answer) == ["ships.@.load", "port"]
    assert asked.sent == ["a: query { ships { name } }"]
    assert answer["errors"][0] == {
        "message": "You are not authorized to see this field, or the type that it gives.",
        "path": ["ships", "@", "load"],
        "extensions": {
            "code": "UNAUTHORIZED_FIELD_OR_TYPE",
            "category": "authorization",
            "requestId": "r",
            "timestamp": "2026-01-01T00:00:00.000Z",
        },
    }


async def test_who_meets_everything_is_answered_everything() -> None:
    answer = await federation().ask("{ ships { name load } port }", authenticated=True, scopes=["ports"])
    assert answer == {"data": {"ships": [{"name": "Pinta", "load": 10}, {"name": "Nina", "load": 10}], "port": "Palos"}}


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [((), False), (("a",), False), (("a", "b"), True), (("c",), True), (("b", "c", "d"), True), (("ab",), False)],
)
async def test_one_whole_set_of_scopes_is_enough(scopes: Collection[str], seen: bool) -> None:
    answer = await federation().ask("{ owner { ship { tonnage } } }", scopes=scopes)
    assert answer["data"] == {"owner": {"ship": {"tonnage": 70} if seen else None}}


async def test_null_travels_up_to_where_it_may_be_and_every_withheld_field_is_named() -> None:
    answer = await federation().ask("{ ships { name tonnage load } }")
    assert answer["data"] is None  # [Ship!]! with Int! in it
    assert withheld(answer) == ["ships.@.tonnage", "ships.@.load"]
    answer = await federation().ask("{ depth log { lines } }")
    assert answer["data"] is None
    assert withheld(answer) == ["depth", "log"]


async def test_a_type_withholds_every_field_that_gives_it() -> None:
    asked = federation()
    answer = await asked.ask("{ log { lines } flag }")
    assert answer["data"] == {"log": None, "flag": None}
    assert withheld(answer) == ["log", "flag"]
    assert asked.sent == []
    assert (await asked.ask("{ log { lines } flag }", authenticated=True))["data"] == {
        "log": {"lines": ["calm"]},
        "flag": "SPAIN",
    }


async def test_the_gateway_itself_asks_for_keys_and_requirements_that_the_caller_may_not_see() -> None:
    asked = federation()
    answer = await asked.ask("{ ships { draught } }")
    assert answer == {"data": {"ships": [{"draught": 2}, {"draught": 2}]}}
    assert [request.subgraph for request in asked.requests] == ["a", "b", "c"]


async def test_aliases_fragments_and_conditions_are_no_way_around() -> None:
    query = """
      query ($yes: Boolean!, $no: Boolean = false) {
        __typename
        b: port c: port @include(if: $yes) d: port @skip(if: $yes) e: port @include(if: $no)
        ...Q ... { f: port } ... on Query @include(if: $yes) { g: port }
      }
      fragment Q on Query { ...R q: port }
      fragment R on Query { r: port }
    """
    asked = federation()
    answer = await asked.ask(query, {"yes": True})
    assert answer["data"] == {"__typename": "Query", **dict.fromkeys("bcrqfg")}
    assert [*answer["data"]] == ["__typename", *"bcrqfg"]
    assert withheld(answer) == [*"bcrqfg"]
    assert asked.sent == []
    answer = await asked.ask(query, {"yes": False, "no": True})
    assert answer["data"] == {"__typename": "Query", **dict.fromkeys("bderqf")}
    assert asked.sent == []


async def test_a_field_of_an_interface_is_withheld_by_the_type_that_withholds_it() -> None:
    asked = federation()
    answer = await asked.ask("{ owners { __typename name ship { name } } }")
    assert answer["data"] == {
        "owners": [
            {"__typename": "Captain", "name": None, "ship": {"name": "Pinta"}},
            {"__typename": "Company", "name": "Sea Ltd", "ship": None},
            None,
        ]
    }
    assert withheld(answer) == ["owners.@.name", "owners.@.ship"]
    assert asked.sent == [
        "a: query { owners { __typename ... on Company { name } ... on Captain { ship { name } } } }",
    ]


async def test_an_interface_that_is_guarded_itself_is_passed_by_type_conditions_only() -> None:
    body = """
      type Query { owner: Owner }
      interface Owner @join__type(graph: A) { name: String @authenticated friend: Owner @authenticated }
      type Captain implements Owner @join__type(graph: A) @join__implements(graph: A, interface: "Owner") {
        name: String friend: Owner
      }
    """
    captain: dict[str, Any] = {"__typename": "Captain", "name": "Ada"}
    captain["friend"] = captain
    asked = GuardedFederation(supergraph(body, "a", links=LINKS), World({"owner": captain}))
    answer = await asked.ask("{ owner { name } }")
    assert (answer["data"], withheld(answer)) == ({"owner": {"name": None}}, ["owner.name"])
    answer = await asked.ask("{ owner { ... on Captain { name } } }")
    assert answer == {"data": {"owner": {"name": "Ada"}}}
    # Asked for in both ways it is given, but for what is selected below it where it is withheld.
    answer = await asked.ask(
        "{ owner { friend { __typename a: __typename } ... on Captain { friend { __typename } } } }"
    )
    assert answer == {"data": {"owner": {"friend": {"__typename": "Captain", "a": "Captain"}}}}
    query = "{ owner { friend { ... on Captain { a: name } } ... on Captain { friend { ... on Captain { name } } } } }"
    answer = await asked.ask(query)
    assert answer["data"] == {"owner": {"friend": {"a": None, "name": "Ada"}}}
    assert withheld(answer) == ["owner.friend.a"]


async def test_members_of_a_union_are_withheld_by_their_own_rules() -> None:
    asked = federation()
    query = "{ found { ... on Ship { name load } ... on Company { ship { name } } } }"
    answer = await asked.ask(query)
    assert answer["data"] == {"found": [{"name": "Pinta", "load": None}, {"ship": None}]}
    assert withheld(answer) == ["found.@.load", "found.@.ship"]
    assert asked.sent == ["a: query { found { __typename ... on Ship { name } } }"]


async def test_an_object_of_which_nothing_may_be_seen_is_still_told_from_none() -> None:
    answer = await federation().ask("{ ships { load } owners { ... on Company { ship { name } } } }")
    assert answer["data"] == {"ships": [{"load": None}] * 2, "owners": [{}, {"ship": None}, None]}


async def test_a_place_is_named_when_there_was_something_to_withhold() -> None:
    nobody = GuardedFederation(SDL, World({"owners": [], "owner": None}))
    assert await nobody.ask("{ owners { name } owner { name } }") == {"data": {"owners": [], "owner": None}}


async def test_a_withheld_mutation_is_not_executed_and_the_others_are() -> None:
    asked = federation()
    answer = await asked.ask('mutation { a: wave sink(id: "s1") b: wave }')
    assert answer["data"] == {"a": "hello", "sink": None, "b": "hello"}
    assert withheld(answer) == ["sink"]
    assert not any("sink" in text for text in asked.sent)
    answer = await asked.ask('mutation { sink(id: "s1") }', scopes=["sink"])
    assert answer == {"data": {"sink": "s1 sank"}}


async def test_introspection_stays() -> None:
    asked = federation()
    answer = await asked.ask('{ port __type(name: "Log") { name fields { name } } }')
    assert answer["data"] == {"port": None, "__type": {"name": "Log", "fields": [{"name": "lines"}]}}


async def test_what_is_wrong_with_variables_is_said_all_the_same() -> None:
    for rest in ("", "ships { name }"):
        query = f"query ($b: Boolean!) {{ port @skip(if: $b) {rest} }}"
        answer = await federation().ask(query)
        assert "data" not in answer
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_an_error_of_a_subgraph_stands_beside() -> None:
    asked = federation()
    answer = await asked.ask("{ flag ships { name load } }")
    assert withheld(answer) == ["flag", "ships.@.load"]
    asked.federation.fetcher.answers = {"a": lambda _request, _response: SubgraphResponse(None, [{"message": "no"}])}
    answer = await asked.ask("{ flag owner { name ... on Captain { ship { name } } } }")
    assert answer["data"] == {"flag": None, "owner": None}
    assert [error.get("path") for error in answer["errors"]] == [None, ["flag"]]


class Policies:
    """Grants some policies, and remembers what it was asked."""

    def __init__(self, *granted: str) -> None:
        self.granted = granted
        self.asked: list[list[str]] = []

    async def __call__(self, policies: frozenset[str], caller: Caller) -> Collection[str]:
        assert caller.request_id == "r"
        self.asked.append(sorted(policies))
        if self.granted == ("fail",):
            raise RuntimeError("the canary sings")
        return self.granted


RANK = "{ ships { captain { rank } } }"


@pytest.mark.parametrize(
    ("granted", "seen"),
    [((), False), (("officer",), False), (("officer", "sober"), True), (("admiral", "more"), True), (("fail",), False)],
)
async def test_policies_are_asked_for_once_a_request(granted: Collection[str], seen: bool) -> None:
    policies = Policies(*granted)
    answer = await federation(Access(policies)).ask(RANK)
    assert answer["data"] == {"ships": [{"captain": {"rank": "one" if seen else None}}] * 2}
    assert policies.asked == [["admiral", "officer", "sober"]]
    assert "canary" not in str(answer)


async def test_policies_are_not_asked_for_where_none_is_used() -> None:
    policies = Policies()
    await federation(Access(policies)).ask("{ ships { name load } }")
    assert policies.asked == []


async def test_a_policy_that_nobody_evaluates_is_granted_to_nobody() -> None:
    answer = await federation().ask(RANK, authenticated=True)
    assert withheld(answer) == ["ships.@.captain.rank"]


async def test_an_operation_can_be_refused_as_a_whole() -> None:
    asked = federation(Access(reject_unauthorized=True))
    with pytest.raises(Unauthorized) as raised:
        await asked.ask("{ ships { name load } owners { name } owner { name } port @skip(if: true) }")
    assert [error["message"].split(",")[0] for error in raised.value.errors] == [
        "You are not authorized to see Ship.load",
        "You are not authorized to see Owner.name",
        "You are not authorized to see Query.port",
    ]
    assert asked.sent == []
    assert (await asked.ask("{ ships { name } }"))["data"] == {"ships": [{"name": "Pinta"}, {"name": "Nina"}]}


async def test_what_is_left_for_equal_callers_is_made_once_and_kept_within_bounds() -> None:
    fields = " ".join(f'f{i}: Int @requiresScopes(scopes: [["s{i}"]])' for i in range(6))
    links = LINKS
    asked = GuardedFederation(
        supergraph(f"type Query {{ {fields} }}", "a", links=links), World({f"f{i}": i for i in range(6)})
    )
    query = "{ f0 f1 f2 f3 f4 f5 }"
    for number in range(64):
        scopes = [f"s{i}" for i in range(6) if number & 1 << i]
        for _ in range(2):
            answer = await asked.ask(query, scopes=scopes)
            assert answer["data"] == {f"f{i}": i if number & 1 << i else None for i in range(6)}
    guarded = next(kept for kept in asked.document(query).prepared.values() if hasattr(kept, "requirements"))
    assert len(guarded._views) == 8


async def test_a_document_without_guarded_fields_is_looked_at_once() -> None:
    asked = federation()
    await asked.ask("{ owner { __typename } wave: __typename }")
    prepared = asked.document("{ owner { __typename } wave: __typename }").prepared
    assert None in prepared.values()


async def test_directives_are_read_by_the_names_that_the_supergraph_gives_them() -> None:
    links = """
      @link(url: "https://specs.apollo.dev/authenticated/v0.1", as: "auth", for: SECURITY)
      @link(url: "https://specs.apollo.dev/requiresScopes/v0.1", import: [{name: "@requiresScopes", as: "@scopes"}])
    """
    body = """
      type Query { a: Int @auth b: Int @scopes(scopes: ["x", "y"]) c: Int @authenticated d: Int @requiresScopes }
      directive @authenticated on FIELD_DEFINITION
      directive @requiresScopes on FIELD_DEFINITION
    """
    asked = GuardedFederation(supergraph(body, "a", links=links), World(dict.fromkeys("abcd", 1)))
    answer = await asked.ask("{ a b c d }", scopes=["y"])
    assert answer["data"] == {"a": None, "b": 1, "c": 1, "d": 1}


@pytest.mark.parametrize("scopes", ["", "(scopes: 1)", '(scopes: [["a", 1]])'])
def test_requirements_that_cannot_be_read_are_refused(scopes: str) -> None:
    with pytest.raises(SupergraphError, match=r"Query\.a asks for something unknown"):
        parse_supergraph(supergraph(f"type Query {{ a: Int @requiresScopes{scopes} }}", "a", links=LINKS))


async def test_no_alternative_at_all_is_met_by_nobody() -> None:
    sdl = supergraph("type Query { a: Int @requiresScopes(scopes: []) }", "a", links=LINKS)
    answer = await GuardedFederation(sdl, World({"a": 1})).ask("{ a }", authenticated=True, scopes=["a"])
    assert answer["data"] == {"a": None}


def composed(**subgraphs: str) -> str:
    """The supergraph of subgraphs, of which each knows the directives by names of its own."""
    link = """extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: [
      "@key", "@shareable", "@interfaceObject", "@authenticated",
      { name: "@requiresScopes", as: "@scopes" }, { name: "@policy", as: "@rule" }
    ]) """
    result = compose([Subgraph(name, f"http://{name}", link + sdl) for name, sdl in subgraphs.items()])
    assert result.supergraph_sdl is not None, result.errors
    return result.supergraph_sdl


async def test_what_any_subgraph_asks_of_a_shared_field_must_be_met() -> None:
    sdl = composed(
        a='type Query { t: T } type T @key(fields: "id") { id: ID! x: Int @shareable @scopes(scopes: [["a"], ["b"]]) }',
        b='type T @key(fields: "id") { id: ID! x: Int @shareable @scopes(scopes: [["c"]]) @authenticated }',
    )
    thing = {"__typename": "T", "id": "1", "x": 5}
    asked = GuardedFederation(sdl, World({"t": thing}, [thing]))
    for scopes, authenticated, seen in (
        (["a", "c"], True, 5),
        (["b", "c"], True, 5),
        (["a", "b"], True, None),
        (["c"], True, None),
        (["a", "c"], False, None),
    ):
        answer = await asked.ask("{ t { x } }", scopes=scopes, authenticated=authenticated)
        assert answer["data"] == {"t": {"x": seen}}


async def test_an_interface_of_composed_subgraphs_asks_for_what_its_types_ask_for_together() -> None:
    sdl = composed(
        a="""
          type Query { i: [I] }
          interface I @key(fields: "id") { id: ID! a: Int }
          type P implements I @key(fields: "id") { id: ID! a: Int @scopes(scopes: [["p"]]) }
          type Q implements I @key(fields: "id") { id: ID! a: Int @scopes(scopes: [["q"]]) }
        """,
        b='type I @interfaceObject @key(fields: "id") { id: ID! f: Int @rule(policies: [["f"]]) }',
    )
    things = [{"__typename": name, "id": name, "a": 1, "f": 2} for name in "PQ"]
    asked = GuardedFederation(sdl, World({"i": things}, things))
    assert (await asked.ask("{ i { a } }", scopes=["p", "q"]))["data"] == {"i": [{"a": 1}] * 2}
    assert (await asked.ask("{ i { a } }", scopes=["p"]))["data"] == {"i": [{"a": None}] * 2}
    both = "{ i { ... on P { a } ... on Q { a } } }"
    assert (await asked.ask(both, scopes=["p"]))["data"] == {"i": [{"a": 1}, {"a": None}]}
    assert (await asked.ask("{ i { f } }"))["data"] == {"i": [{"f": None}] * 2}
    assert (await asked.ask("{ i { ... on P { f } } }"))["data"] == {"i": [{"f": None}, {}]}
    assert [request.subgraph for request in asked.requests] == ["a"]


@pytest.mark.parametrize("query", ["{ ships { ...F } }", "{ ships { id ...F @include(if: true) ...F } }"])
async def test_named_fragments_are_filtered_once_and_read_wherever_they_are_spread(query: str) -> None:
    doubled = " ".join(f"fragment F{i} on Ship {{ ...F{i + 1} ...F{i + 1} }}" for i in range(12))
    fragments = f"fragment F on Ship {{ name ...F0 }} {doubled} fragment F12 on Ship {{ load captain {{ name }} }}"
    asked = federation()
    answer = await asked.ask(f"{query} {fragments}", scopes=["ids"])
    shown = {"id": "s1"} if "id" in query else {}
    assert answer["data"]["ships"][0] == {**shown, "name": "Pinta", "load": None, "captain": {"name": None}}
    assert withheld(answer) == ["ships.@.load", "ships.@.captain.name"]


async def test_a_document_that_is_nested_too_deeply_to_be_looked_at_is_refused() -> None:
    sdl = supergraph("type Query { again: Query x: Int @authenticated }", "a", links=LINKS)
    chain = " ".join(f"fragment F{i} on Query {{ again {{ ...F{i + 1} }} }}" for i in range(2_000))
    document = parse(f"{{ ...F0 }} {chain} fragment F2000 on Query {{ x }}", no_location=True)
    guarded = GuardedFederation(sdl, World({}))
    (operation,) = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    asked = Operation(None, operation.operation, operation)
    assert guarded.guard is not None
    with pytest.raises(LimitExceeded):
        await guarded.guard.view(Document("", document, (asked,), fragments), asked, Caller("r", "c"))
