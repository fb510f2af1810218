"""What a caller is answered is the whole answer with null where it may not look, on generated cases."""

import json
import os
from collections.abc import Iterator
from random import Random
from typing import Any

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Node,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_abstract_type,
    parse,
    visit,
)
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gateway.access.requirement import Requirement
from gateway.access.rules import AccessRules
from gateway.federation.supergraph import FieldSet, Model, parse_supergraph
from tests.federation.kit import monolith
from tests.federation.kit.generated import Generated, generate
from tests.federation.kit.guarded import GuardedFederation
from tests.testkit.execution import withheld

NIGHTLY = os.environ.get("BREAKWATER_NIGHTLY") == "1"


class Oracle:
    """Raises for what is withheld, field by field, in a server that has everything; made of the rules alone."""

    def __init__(self, schema: GraphQLSchema, rules: AccessRules, scopes: frozenset[str], query: str) -> None:
        self.schema = schema
        self.rules = rules
        self.scopes = scopes
        self.parent_types: dict[int, str] = {}
        self.outer: dict[int, FieldNode | None] = {}
        info = TypeInfo(schema)
        oracle = self

        class Places(Visitor):
            def enter_field(self, node: FieldNode, _key: Any, _parent: Any, _path: Any, ancestors: Any) -> None:
                parent = info.get_parent_type()
                assert parent is not None
                oracle.parent_types[_place(node)] = parent.name
                fields = [each for each in _flat(ancestors) if isinstance(each, FieldNode)]
                oracle.outer[_place(node)] = fields[-1] if fields else None

        visit(parse(query), TypeInfoVisitor(info, Places()))

    def unmet(self, type_name: str, field_name: str) -> bool:
        type_ = self.schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
        returned = get_named_type(type_.fields[field_name].type).name
        asked = [self.rules.types.get(type_name), self.rules.types.get(returned)]
        asked.append(self.rules.fields.get((type_name, field_name)))
        return any(each is not None and not each.met_by(False, self.scopes, frozenset()) for each in asked)

    def withheld(self, node: FieldNode, type_name: str, outer_types: list[str]) -> bool:
        """Whether the field is withheld as it is selected here, or what it is selected in is."""
        name, place = node.name.value, _place(node)
        if not name.startswith("__") and (self.unmet(self.parent_types[place], name) or self.unmet(type_name, name)):
            return True
        outer = self.outer[place]
        return outer is not None and self.withheld(outer, outer_types[-1], outer_types[:-1])

    def before(self, info: GraphQLResolveInfo[Any]) -> None:
        outer_types = []
        path = info.path.prev
        while path is not None:
            if path.typename is not None:
                outer_types.append(path.typename)
            path = path.prev
        if all(self.withheld(node, info.parent_type.name, outer_types[::-1]) for node in info.field_nodes):
            raise GraphQLError("withheld")


def _place(node: Node) -> int:
    assert node.loc is not None
    return node.loc.start


def _flat(ancestors: Any) -> Iterator[Any]:
    for each in ancestors:
        if isinstance(each, Node):
            yield each


def random_rules(random: Random, model: Model) -> AccessRules:
    """Some types and fields guarded, one scope each."""

    def some() -> Requirement:
        return Requirement(scopes=(frozenset({random.choice("abc")}),))

    named = {name: type_ for name, type_ in model.types.items() if type_.fields}
    rare = [name for name in named if name not in model.roots.values()]
    types = {name: some() for name in rare if random.random() < 0.2}
    fields = {(name, field): some() for name, type_ in named.items() for field in type_.fields if random.random() < 0.4}
    return AccessRules(types, fields)


def internal(model: Model) -> set[tuple[str, str]]:
    """Fields that the gateway itself may need: keys, and what other fields require."""

    def of(type_name: str, fields: FieldSet) -> Iterator[tuple[str, str]]:
        for each in fields:
            for name in {type_name} | model.possible_types(type_name):
                yield name, each.name

    found = set()
    for name, type_ in model.types.items():
        for keys in type_.keys.values():
            for key in keys:
                found |= set(of(name, key.fields))
        for field in type_.fields:
            for graph in type_.graphs:
                local = model.local(name, graph, field)
                if local is not None and local.requires:
                    found |= set(of(name, local.requires))
    return found


def asked_of_subgraphs(guarded: GuardedFederation) -> Iterator[tuple[GraphQLSchema, str, str]]:
    """Every field of every request, with the schema of the subgraph."""
    model = guarded.federation.model
    graphs = {subgraph.name: graph for graph, subgraph in model.subgraphs.items()}
    for request in guarded.requests:
        schema = guarded.federation.fetcher.schemas[graphs[request.subgraph]]
        info = TypeInfo(schema)
        found: list[tuple[str, str]] = []

        class Fields(Visitor):
            def enter_field(self, node: FieldNode, *_: Any) -> None:
                parent = info.get_parent_type()  # noqa: B023  # visited before the next one is made
                assert parent is not None
                found.append((parent.name, node.name.value))  # noqa: B023

        visit(parse(request.document), TypeInfoVisitor(info, Fields()))
        for type_name, field in found:
            if not field.startswith("_"):
                yield schema, type_name, field


@seed(20260202)
@settings(max_examples=2_000 if NIGHTLY else 30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
async def test_the_answer_is_the_whole_one_with_null_where_the_caller_may_not_look(random: Random) -> None:
    case: Generated = generate(random)
    model = parse_supergraph(case.sdl)
    rules = random_rules(random, model)
    scopes = frozenset(each for each in "abc" if random.random() < 0.5)
    guarded = GuardedFederation(case.sdl, case.world, rules=rules)
    schema = guarded.federation.engine.api_schema
    oracle = Oracle(schema, rules, scopes, case.query)
    expected = monolith(model, case.world, case.query, case.variables, oracle.before)

    answer = await guarded.ask(case.query, case.variables, scopes=scopes)

    story = f"{case.sdl}\n{case.query}\n{case.variables}\n{rules}\n{scopes}\n{guarded.sent}\n{answer}\n{expected}"
    assert json.dumps(answer["data"]) == json.dumps(expected.data), story
    places = {".".join("@" if isinstance(part, int) else part for part in e.path) for e in expected.errors or ()}
    assert places <= set(withheld(answer)), story
    assert bool(places) == bool(withheld(answer)), story

    needed = internal(model)
    for subgraph, type_name, field in asked_of_subgraphs(guarded):
        # What stands for all of its types is asked for when all of them show it, or some as an interface object.
        type_ = subgraph.type_map[type_name]
        found = [each.name for each in subgraph.get_possible_types(type_)] if is_abstract_type(type_) else None
        types = found or model.possible_types(type_name)
        shown = [(each, field) in needed or not oracle.unmet(each, field) for each in types]
        assert any(shown) if found is None else all(shown), f"{type_name}.{field}\n{story}"
