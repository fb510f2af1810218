"""Why a field cannot be had: the query, and for each subgraph what stands in the way."""

from collections.abc import Iterator, Sequence

from gateway.federation.composition.fieldsets import parse_field_set, print_field_set
from gateway.federation.composition.satisfiability.graphs import Graphs, Position
from gateway.federation.composition.satisfiability.moves import Moves


def print_query(path: Sequence[str], is_composite: bool) -> str:
    """The operation along a path, ``"..."`` where any selection would do."""
    lines = [("  " * depth) + step + " {" for depth, step in enumerate(path[:-1])]
    last = "  " * (len(path) - 1) + path[-1]
    lines.append(last + (" { ... }" if is_composite else ""))
    lines += ["  " * depth + "}" for depth in range(len(path) - 2, -1, -1)]
    return "\n".join(lines)


def explain(moves: Moves, type_name: str, field_name: str, positions: Sequence[Position]) -> list[str]:
    """One reason a subgraph and target, in the order of the subgraphs; no two alike."""
    reasons: list[str] = []
    for start in positions:
        reasons += _from(moves, type_name, field_name, start)
    return list(dict.fromkeys(reasons)) or [f'no subgraph resolves "{type_name}.{field_name}" on this path']


def _from(moves: Moves, type_name: str, field_name: str, start: Position) -> Iterator[str]:
    graphs = moves.graphs
    here = graphs.schemas[start.graph].name
    pool = moves.reach(start)
    reached = {(each.type, each.graph) for each in pool}
    for each in pool:
        yield from _at(moves, each, field_name)
    for graph, schema in graphs.schemas.items():
        for name in dict.fromkeys((start.type, type_name, *_interface_objects(graphs, type_name, graph))):
            target = Position(name, graph)
            if (name, graph) in reached or name not in schema.types or graphs.edge(target, field_name) is None:
                continue
            yield f'from "{here}" to "{schema.name}": {_no_move(moves, start, target, pool)}'


def _interface_objects(graphs: Graphs, type_name: str, graph: str) -> list[str]:
    merged = graphs.supergraph.types.get(type_name)
    names = list(merged.implements) if merged is not None else []
    return [name for name in names if name in graphs.schemas[graph].types]


def _at(moves: Moves, position: Position, field_name: str) -> Iterator[str]:
    graphs = moves.graphs
    schema = graphs.schemas[position.graph]
    field = graphs.definition(position).fields.get(field_name)
    coordinate = f'"{position.type}.{field_name}"'
    edge = graphs.edge(position, field_name)
    if field is None:
        yield f'"{schema.name}" has no field {coordinate}'
    elif field.is_external and edge is None:
        yield f'"{schema.name}" declares {coordinate} external and does not provide it here'
    elif edge is None:
        yield f'"{schema.name}" does not resolve {coordinate}: an @override gives it to another subgraph'
    elif edge.requires:
        missing = moves.missing(edge.requires, moves.reach(position))
        if missing is not None:
            yield f'"{schema.name}" requires "{print_field_set(edge.requires)}" for it, and "{missing}" cannot be had'
        else:
            yield f'"{schema.name}" has no resolvable key by which {coordinate} could get what it requires'
    elif not graphs.runtime_types(position) and not graphs.is_interface_object(position):
        yield f'"{schema.name}" knows no type that implements "{position.type}"'
    else:
        yield f'"{schema.name}" cannot resolve {coordinate} for every type it returns'


def _no_move(moves: Moves, start: Position, target: Position, pool: Sequence[Position]) -> str:
    graphs = moves.graphs
    keys = graphs.keys(target.type, target.graph)
    if not keys:
        declared = graphs.definition(target).applied("key")
        if declared:
            printed = print_field_set(parse_field_set(declared[0].value("fields")))
            return f'the @key "{printed}" of "{target.type}" there is not resolvable'
        return f'"{target.type}" has no @key there'
    lacking = [f'@key "{print_field_set(key)}" needs "{moves.missing(key, pool)}"' for key in keys]
    here = graphs.schemas[start.graph].name
    return f'{"; ".join(lacking)}, which cannot be had from "{here}"'
