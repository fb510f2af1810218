"""What planning costs: one query over four subgraphs, cold, and growth with subgraphs, types and selections.

Run ``python -m benchmarks.planning``; it takes about ten seconds. Times are the best of a few runs on one core.
"""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from graphql import parse

from gateway.federation.planner import Plan, Planner
from gateway.federation.supergraph import Model, parse_supergraph

_T = TypeVar("_T")

_SHOP = """
type Query {
  members: [Member] @join__field(graph: PEOPLE)
  bestsellers(first: Int = 5): [Article] @join__field(graph: CATALOGUE)
}
type Member @join__type(graph: PEOPLE, key: "id") @join__type(graph: OPINIONS, key: "id") {
  id: ID!
  name: String @join__field(graph: PEOPLE)
  nick: String @join__field(graph: PEOPLE) @join__field(graph: OPINIONS, external: true)
  opinions: [Opinion] @join__field(graph: OPINIONS)
}
type Article
  @join__type(graph: CATALOGUE, key: "sku")
  @join__type(graph: STOCK, key: "sku")
  @join__type(graph: OPINIONS, key: "sku")
{
  sku: ID!
  title: String @join__field(graph: CATALOGUE)
  price: Int @join__field(graph: CATALOGUE) @join__field(graph: STOCK, external: true)
  weight: Int @join__field(graph: CATALOGUE) @join__field(graph: STOCK, external: true)
  available: Boolean @join__field(graph: STOCK)
  postage: Int @join__field(graph: STOCK, requires: "price weight")
  opinions: [Opinion] @join__field(graph: OPINIONS)
}
type Opinion @join__type(graph: OPINIONS, key: "id") {
  id: ID!
  text: String
  article: Article
  author: Member @join__field(graph: OPINIONS, provides: "nick")
}
"""
_QUERY = """
fragment M on Member { id nick name }
fragment O on Opinion { id text }
fragment A on Article { available title price postage sku weight }
query Overview {
  members {
    ...M
    opinions { ...O article { ...A opinions { ...O author { ...M opinions { ...O article { ...A } } } } } }
  }
  bestsellers { ...A opinions { ...O author { ...M opinions { ...O article { ...A } } } } }
}
"""
_STEPS = (1, 7)
_GROWTH = [(5, 50, 100), (10, 100, 200), (25, 250, 500), (50, 500, 1000), (50, 500, 100), (5, 500, 1000)]


def supergraph(body: str, *graphs: str) -> Model:
    """A model of a supergraph; the query root is everywhere."""
    values = " ".join(f'{graph.upper()} @join__graph(name: "{graph}", url: "")' for graph in graphs)
    roots = " ".join(f"@join__type(graph: {graph.upper()})" for graph in graphs)
    head = 'schema @link(url: "https://specs.apollo.dev/join/v0.3", for: EXECUTION) { query: Query }'
    return parse_supergraph(
        f"{head} enum join__Graph {{ {values} }} {body.replace('type Query', f'type Query {roots}')}"
    )


def generated(subgraphs: int, types: int) -> Model:
    """Entities in three subgraphs each, five scalars spread over them, references to two further types."""
    homes = [[f"S{(number + offset) % subgraphs}" for offset in (0, 1, 2)] for number in range(types)]
    known = [set(each) for each in homes]
    lines = ["type Query { start: [T0] @join__field(graph: S0) }"]
    for number in range(types):
        for index, step in enumerate(_STEPS):  # whoever refers to a type knows at least its key
            known[(number + step) % types].add(homes[number][index])
    for number in range(types):
        fields = [f"f{index}: Int @join__field(graph: {homes[number][index % 3]})" for index in range(5)]
        for index, step in enumerate(_STEPS):
            fields.append(f"r{index}: [T{(number + step) % types}] @join__field(graph: {homes[number][index]})")
        keys = " ".join(f'@join__type(graph: {home}, key: "id")' for home in sorted(known[number]))
        lines.append(f"type T{number} {keys} {{ id: ID! {' '.join(fields)} }}")
    return supergraph("\n".join(lines), *(f"s{number}" for number in range(subgraphs)))


def selections(types: int, count: int) -> str:
    """A query of about so many fields, as deep as wide."""
    left = count

    def below(number: int, depth: int) -> str:
        nonlocal left
        fields = [f"f{index}" for index in range(5)]
        left -= len(fields)
        for index, step in enumerate(_STEPS):
            if left > 0 and depth < 9 and (number + step) % types:
                left -= 1
                fields.append(f"r{index} {{ {below((number + step) % types, depth + 1)} }}")
        return " ".join(fields)

    body = below(0, 0)
    roots = [f"a0: start {{ {body} }}"]
    while left > 0:
        roots.append(f"a{len(roots)}: start {{ {below(0, 3)} }}")
    return f"{{ {' '.join(roots)} }}"


def best(run: Callable[[], _T], times: int) -> tuple[float, _T]:
    """The shortest of a few runs in milliseconds, and the last result."""
    shortest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = run()
        shortest = min(shortest, (time.perf_counter() - start) * 1000)
    return shortest, result


def _plan(planner: Planner, query: str) -> Plan:
    return planner.plan(parse(query))


def main() -> None:
    model = supergraph(_SHOP, "people", "catalogue", "stock", "opinions")
    warm_planner = Planner(model)

    cold_ms, plan = best(lambda: _plan(Planner(model), _QUERY), 7)
    _plan(warm_planner, _QUERY)
    warm_ms, _ = best(partial(_plan, warm_planner, _QUERY), 7)
    print("one query, four subgraphs (parse to plan; no cached plan)")
    print(f"  nothing learnt about the supergraph yet  {cold_ms:6.1f} ms")
    print(f"  supergraph known                         {warm_ms:6.1f} ms")
    print(f"  upstream requests                        {len(plan.requests):6d}")
    print()
    print("subgraphs  types  selections  first plan ms  next plan ms  requests")
    for subgraphs, types, count in _GROWTH:
        grown = generated(subgraphs, types)
        query = selections(types, count)
        run = partial(_plan, Planner(grown), query)
        first_ms, plan = best(run, 1)
        next_ms, plan = best(run, 3)
        print(
            f"{subgraphs:9d} {types:6d} {len(re.findall(r'[fr][0-9]', query)):11d} {first_ms:14.1f} {next_ms:13.1f} "
            f"{len(plan.requests):9d}"
        )


if __name__ == "__main__":
    main()
