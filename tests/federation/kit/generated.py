"""Random supergraphs, worlds and queries, for comparing the federated answer with the monolith's.

Everything is drawn from one ``Random``; with hypothesis behind it, failures shrink. What is generated is satisfiable
by construction, and wherever two subgraphs resolve the same field they return the same objects.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.federation.kit.supergraphs import supergraph
from tests.federation.kit.world import World

_SCALARS = ("String", "Int", "Boolean")


@dataclass
class GeneratedField:
    """A field: ``type`` of the supergraph; joins by subgraph, each the directive's further arguments."""

    name: str
    type: str
    target: str | None = None
    joins: dict[str, str] = field(default_factory=dict)
    argument: bool = False
    requires: tuple[str, ...] = ()


@dataclass
class GeneratedType:
    """An object type, an interface or a union. ``keys`` by subgraph; none for value types."""

    name: str
    kind: str
    graphs: list[str]
    fields: dict[str, GeneratedField] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    interface_objects: list[str] = field(default_factory=list)


@dataclass
class Generated:
    """One generated case."""

    sdl: str
    world: World
    query: str
    variables: dict[str, Any]


def generate(random: Random) -> Generated:
    """Draw a case."""
    schema = _Schema(random)
    world = _Data(random, schema).world()
    query, variables = _Query(random, schema).document()
    return Generated(schema.sdl(), world, query, variables)


class _Schema:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.graphs = [f"g{number}" for number in range(random.choice((1, 2, 3, 3, 4)))]
        self.types: dict[str, GeneratedType] = {}
        self._entities()
        self._value_types()
        self._abstract_types()
        self._fields()
        self._parts()
        self._requirements()
        self._root()
        self._provisions()

    def _some(self, among: list[str], chance: float = 0.5) -> list[str]:
        chosen = [each for each in among if self.random.random() < chance]
        return chosen or [self.random.choice(among)]

    def _entities(self) -> None:
        for number in range(self.random.randint(1, 3)):
            type_ = GeneratedType(f"E{number}", "type", self._some(self.graphs, 0.7))
            hub = self.random.choice(type_.graphs)
            for graph in type_.graphs:
                if graph == hub:
                    keys = ["id", "code"]
                else:
                    keys = self.random.choice((["id"], ["id"], ["code"], ["id", "code"], ["id code"]))
                type_.keys[graph] = keys
            for key in ("id", "code"):
                holders = [graph for graph in type_.graphs if any(key in each.split() for each in type_.keys[graph])]
                name = "ID!" if key == "id" else "String!"
                type_.fields[key] = GeneratedField(key, name, joins=dict.fromkeys(holders, ""))
            self.types[type_.name] = type_

    def _value_types(self) -> None:
        for number in range(self.random.randint(0, 2)):
            self.types[f"V{number}"] = GeneratedType(f"V{number}", "type", list(self.graphs))

    def _abstract_types(self) -> None:
        entities = [name for name in self.types if name.startswith("E")]
        if self.random.random() < 0.5:
            members = self._some(entities, 0.7)
            self.types["I"] = GeneratedType("I", "interface", self._everywhere(members), members=members)
        if self.random.random() < 0.4:
            members = self._some([name for name in self.types if name[0] in "EV"], 0.6)
            graphs = self._everywhere([name for name in members if name.startswith("E")])
            if graphs:
                self.types["U"] = GeneratedType("U", "union", graphs, members=members)
        self._interface_object()

    def _everywhere(self, names: list[str]) -> list[str]:
        """Subgraphs that have all of these types."""
        return [graph for graph in self.graphs if all(graph in self.types[name].graphs for name in names)]

    def _interface_object(self) -> None:
        interface = self.types.get("I")
        if not interface or not interface.graphs:
            return
        free = [
            graph for graph in self.graphs if not any(graph in self.types[each].graphs for each in interface.members)
        ]
        if not free or self.random.random() < 0.4:
            return
        for graph in interface.graphs:  # entered by id wherever the real interface is
            interface.keys[graph] = ["id"]
            for member in interface.members:
                keys = self.types[member].keys[graph]
                if "id" not in keys:
                    keys.append("id")
                    self.types[member].fields["id"].joins[graph] = ""
        for graph in self._some(free):
            interface.keys[graph] = ["id"]
            interface.interface_objects.append(graph)
        interface.fields["id"] = GeneratedField("id", "ID!")
        extra = GeneratedField("extra", "String", joins=dict.fromkeys(interface.interface_objects, ""))
        interface.fields["extra"] = extra
        for member in interface.members:
            self.types[member].fields["extra"] = GeneratedField("extra", "String", joins={"": ""})

    def _fields(self) -> None:
        shared = GeneratedField("label", "String")
        interface = self.types.get("I")
        if interface and interface.graphs:
            interface.fields["label"] = GeneratedField("label", "String", joins=dict.fromkeys(interface.graphs, ""))
        for type_ in list(self.types.values()):
            if type_.kind != "type":
                continue
            if interface and interface.graphs and type_.name in interface.members:
                own = dict.fromkeys(self._some(type_.graphs, 0.6), "")
                for graph in interface.graphs:
                    own.setdefault(graph, "usedOverridden: true")
                type_.fields["label"] = GeneratedField(shared.name, shared.type, joins=own)
            for number in range(self.random.randint(2, 5)):
                self._field(type_, f"f{number}")

    def _field(self, type_: GeneratedType, name: str) -> None:
        graphs = self._some(type_.graphs, 0.25) if type_.keys else list(type_.graphs)
        targets = [
            other.name
            for other in self.types.values()
            if other.graphs and all(graph in other.graphs or graph in other.interface_objects for graph in graphs)
        ]
        if not targets or self.random.random() < 0.55:
            scalar = self.random.choice(_SCALARS)
            made = GeneratedField(name, scalar, argument=self.random.random() < 0.2)
            for graph in graphs:
                strict = self.random.random() < 0.3
                made.joins[graph] = f'type: "{scalar}!"' if strict else ""
            if any(made.joins.values()):
                made.joins = {graph: join or f'type: "{scalar}"' for graph, join in made.joins.items()}
        else:
            target = self.random.choice(targets)
            shape = self.random.choice(("{}", "{}", "{}!", "[{}]", "[{}!]!", "[[{}]]"))
            made = GeneratedField(name, shape.format(target), target, dict.fromkeys(graphs, ""))
        type_.fields[name] = made

    def _parts(self) -> None:
        """A value type whose fields are spread over subgraphs: to complete it, its owner must be entered again."""
        if self.random.random() < 0.5:
            return
        owner = self.types["E0"]
        part = GeneratedType("P", "type", list(owner.graphs))
        for number in range(self.random.randint(1, 3)):
            joins = dict.fromkeys(self._some(owner.graphs, 0.4), "")
            part.fields[f"f{number}"] = GeneratedField(f"f{number}", "String", joins=joins)
        if self.random.random() < 0.5:
            entity = self.random.choice([each for each in self.types.values() if each.keys and each.kind == "type"])
            joins = dict.fromkeys([graph for graph in owner.graphs if graph in entity.graphs], "")
            if joins:
                part.fields["entity"] = GeneratedField("entity", entity.name, entity.name, joins)
        for graph in owner.graphs:
            if not any(graph in each.joins for each in part.fields.values()):
                part.fields["f0"].joins[graph] = ""
        shape = self.random.choice(("P", "P!", "[P!]"))
        owner.fields["part"] = GeneratedField("part", shape, "P", dict.fromkeys(owner.graphs, ""))
        self.types["P"] = part

    def _requirements(self) -> None:
        """Scalar fields of entities that need scalar fields of other subgraphs."""
        for type_ in self.types.values():
            if not type_.keys or type_.kind != "type":
                continue
            order: list[str] = []
            for name, made in type_.fields.items():
                simple = made.target is None and name.startswith("f") and not made.argument
                if simple and order and len(made.joins) == 1 and self.random.random() < 0.5:
                    (graph,) = made.joins
                    wanted = [each for each in self._some(order, 0.5) if graph not in type_.fields[each].joins]
                    if wanted:
                        made.requires = tuple(wanted)
                        made.joins[graph] = f'requires: "{" ".join(wanted)}"'
                        made.type = "String"
                if simple:
                    order.append(name)
            for made in type_.fields.values():
                for name in made.requires:
                    for graph, join in list(made.joins.items()):
                        if join.startswith("requires"):
                            type_.fields[name].joins.setdefault(graph, "external: true")

    def _root(self) -> None:
        root = GeneratedType("Query", "type", list(self.graphs))
        reachable = [name for name, type_ in self.types.items() if type_.graphs and name != "P"]
        for number in range(self.random.randint(1, 3)):
            target = self.random.choice(reachable)
            type_ = self.types[target]
            graphs = self._some(type_.graphs + type_.interface_objects, 0.4)
            shape = self.random.choice(("{}", "[{}]", "[{}!]!"))
            root.fields[f"r{number}"] = GeneratedField(
                f"r{number}", shape.format(target), target, dict.fromkeys(graphs, "")
            )
        if self.random.random() < 0.2:
            root.fields["again"] = GeneratedField("again", "Query", "Query", dict.fromkeys(self._some(self.graphs), ""))
        self.types["Query"] = root

    def _provisions(self) -> None:
        """Fields that provide a scalar of the entity they return, which is external in their subgraph."""
        for type_ in self.types.values():
            for made in type_.fields.values():
                target = self.types.get(made.target or "")
                if target is None or target.kind != "type" or not target.keys or self.random.random() < 0.6:
                    continue
                for graph, join in made.joins.items():
                    plain = [
                        each
                        for each in target.fields.values()
                        if each.name.startswith("f")
                        and each.target is None
                        and not each.requires
                        and not each.argument
                        and each.joins.get(graph, "external: true") == "external: true"
                        and not any(other.startswith("type:") for other in each.joins.values())
                    ]
                    if plain and not join:
                        chosen = self.random.choice(plain)
                        chosen.joins[graph] = "external: true"
                        made.joins[graph] = f'provides: "{chosen.name}"'

    def sdl(self) -> str:
        return supergraph("\n".join(map(self._type, self.types.values())), *self.graphs)

    def _type(self, type_: GeneratedType) -> str:
        directives = []
        for graph in type_.graphs + type_.interface_objects:
            suffix = ", isInterfaceObject: true" if graph in type_.interface_objects else ""
            for key in type_.keys.get(graph, [""]):
                name = f', key: "{key}"' if key else ""
                directives.append(f"@join__type(graph: {graph.upper()}{name}{suffix})")
        implements = ""
        interface = self.types.get("I")
        if interface and interface.graphs and type_.name in interface.members:
            implements = " implements I"
            directives += [f'@join__implements(graph: {graph.upper()}, interface: "I")' for graph in interface.graphs]
        if not type_.graphs:
            return ""
        if type_.kind == "union":
            members = [
                f'@join__unionMember(graph: {graph.upper()}, member: "{member}")'
                for graph in type_.graphs
                for member in type_.members
            ]
            return f"union U {' '.join(directives + members)} = {' | '.join(type_.members)}"
        fields = "\n".join("  " + _printed(each, type_) for each in type_.fields.values())
        return f"{type_.kind} {type_.name}{implements} {' '.join(directives)} {{\n{fields}\n}}"


def _printed(made: GeneratedField, type_: GeneratedType) -> str:
    arguments = "(n: Int)" if made.argument else ""
    joins = []
    plain = set(made.joins) == set(type_.graphs + type_.interface_objects) and not any(made.joins.values())
    if made.joins and not plain:
        for graph, rest in made.joins.items():
            inner = ", ".join(each for each in (f"graph: {graph.upper()}" if graph else "", rest) if each)
            joins.append(f"@join__field({inner})" if inner else "@join__field")
    return f"{made.name}{arguments}: {made.type} {' '.join(joins)}"


class _Data:
    def __init__(self, random: Random, schema: _Schema) -> None:
        self.random = random
        self.schema = schema
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.computed: dict[str, Any] = {}

    def world(self) -> World:
        types = [each for each in self.schema.types.values() if each.kind == "type" and each.name != "Query"]
        for type_ in types:
            self.objects[type_.name] = [
                {"__typename": type_.name, "id": f"{type_.name}-{number}", "code": f"code-{number}"}
                for number in range(self.random.randint(1, 3))
            ]
        for type_ in types:
            for index, object_ in enumerate(self.objects[type_.name]):
                for made in type_.fields.values():
                    if made.name not in object_:
                        object_[made.name] = self._value(made, f"{type_.name}{index}{made.name}")
            for made in type_.fields.values():
                self._compute(type_, made)
        query = self.schema.types["Query"]
        root = {made.name: self._value(made, "") for made in query.fields.values()}
        entities = [each for type_ in types if type_.keys for each in self.objects[type_.name]]
        return World(root, entities, self.computed)

    def _compute(self, type_: GeneratedType, made: GeneratedField) -> None:
        coordinate = f"{type_.name}.{made.name}"
        if made.requires:
            names = made.requires

            def from_required(known: Any, _arguments: Any) -> str:
                return "/".join(str(known[name]) for name in names)

            self.computed[coordinate] = from_required
            for object_ in self.objects[type_.name]:
                object_[made.name] = from_required(object_, {})
        elif made.argument:
            values = {object_["id"]: object_[made.name] for object_ in self.objects[type_.name]}
            scalar = made.type

            def with_argument(known: Any, arguments: Any) -> Any:
                value = values[known["id"]]
                more = arguments.get("n") or 0
                return f"{value}{more}" if scalar == "String" else (value + more if scalar == "Int" else value)

            self.computed[coordinate] = with_argument

    def _value(self, made: GeneratedField, seed: str) -> Any:
        if made.name == "again":
            return {"__typename": "Query"}
        if made.target is None:
            base = made.type.strip("!")
            if base == "Int":
                return self.random.randint(0, 9)
            return self.random.random() < 0.5 if base == "Boolean" else f"{seed}"
        return self._shaped(made.type, made.target)

    def _shaped(self, type_: str, target: str) -> Any:
        required = type_.endswith("!")
        inner = type_.removesuffix("!")
        if not required and self.random.random() < 0.15:
            return None
        if inner.startswith("["):
            return [self._shaped(inner[1:-1], target) for _ in range(self.random.randint(0, 3))]
        known = self.schema.types[target]
        return self.random.choice(self.objects[self.random.choice(known.members or [target])])


@dataclass
class _Scope:
    """What each response key of an object means, and the scopes of the objects below."""

    meanings: dict[str, str] = field(default_factory=dict)
    below: dict[str, "_Scope"] = field(default_factory=dict)


class _Query:
    """A query that is valid: one response key means one field with one set of arguments everywhere in an object."""

    def __init__(self, random: Random, schema: _Schema) -> None:
        self.random = random
        self.schema = schema
        self.variables: dict[str, Any] = {}
        self.budget = 30

    def document(self) -> tuple[str, dict[str, Any]]:
        body = self._selections("Query", 0, _Scope())
        declared = ", ".join(f"${name}: {'Boolean!' if name.startswith('b') else 'Int'}" for name in self.variables)
        return f"query{f'({declared})' if declared else ''} {body}", self.variables

    def _selections(self, type_name: str, depth: int, scope: _Scope) -> str:
        type_ = self.schema.types[type_name]
        parts = []
        for _ in range(self.random.randint(2, 5)):
            if type_.fields and self.random.random() < 0.8:
                parts.append(self._field(type_, depth, scope))
            elif type_.members and depth < 6:
                member = self.random.choice(type_.members)
                inner = self._selections(member, depth + 1, scope)
                parts.append(f"... on {member}{self._condition()} {inner}")
            elif type_name != "Query":
                parts.append(self._typename(scope))
        kept = [part for part in parts if part]
        return "{ " + " ".join(kept or ["__typename"]) + " }"

    def _typename(self, scope: _Scope) -> str:
        key = self.random.choice(("__typename", "__typename", "kind", "x"))
        if scope.meanings.setdefault(key, "__typename") != "__typename":
            return ""
        return f"{'' if key == '__typename' else f'{key}: '}__typename{self._condition()}"

    def _field(self, type_: GeneratedType, depth: int, scope: _Scope) -> str:
        self.budget -= 1
        choices = list(type_.fields.values())
        if depth > 4 or self.budget < 0:
            choices = [each for each in choices if each.target is None]
        if not choices:
            return ""
        composites = [each for each in choices if each.target]
        made = self.random.choice(composites if composites and self.random.random() < 0.4 else choices)
        number = self._number() if made.argument else ""
        text = f"{made.name}(n: {number})" if number else made.name
        key = self.random.choice((made.name, made.name, made.name, "id", "code", "f0", "f1", "x", "_f"))
        meaning = f"{text} {made.type}"
        if scope.meanings.setdefault(key, meaning) != meaning:
            return ""
        if number == "$n":
            self.variables.setdefault("n", self.random.randint(1, 3))
        line = f"{'' if key == made.name else f'{key}: '}{text}{self._condition()}"
        if made.target is None:
            return line
        return f"{line} {self._selections(made.target, depth + 1, scope.below.setdefault(key, _Scope()))}"

    def _number(self) -> str:
        return self.random.choice(("", "$n", "1", "2"))

    def _condition(self) -> str:
        if self.random.random() < 0.88:
            return ""
        name = self.random.choice(("b0", "b1"))
        self.variables.setdefault(name, self.random.random() < 0.5)
        return f" @{self.random.choice(('include', 'skip'))}(if: ${name})"
