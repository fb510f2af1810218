"""``@inaccessible``: what is left for clients must still be a schema. Source: specs.apollo.dev/inaccessible/v0.2."""

from collections.abc import Iterator

from graphql import ConstValueNode, EnumValueNode, ListValueNode, ObjectValueNode, parse_const_value

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import Kind
from gateway.federation.composition.supergraph import MergedInput, MergedType, Supergraph
from gateway.federation.composition.typerefs import is_non_null, named


def check_inaccessible(supergraph: Supergraph, problems: Problems) -> None:
    """Record visible elements that refer to, consist of, or depend on hidden ones."""
    _Check(supergraph, problems).run()


class _Check:
    def __init__(self, supergraph: Supergraph, problems: Problems) -> None:
        self._types = supergraph.types
        self._problems = problems

    def run(self) -> None:
        query = self._types.get("Query")
        if query is not None and query.has("inaccessible"):
            self._error("QUERY_ROOT_TYPE_INACCESSIBLE", "Query", '"Query" is inaccessible, and nothing could be asked')
        for merged in self._types.values():
            if not merged.has("inaccessible"):
                self._check_type(merged)

    def _error(self, code: str, coordinate: str, message: str) -> None:
        self._problems.error(code, message, coordinates=[coordinate])

    def _is_hidden(self, ref: str) -> bool:
        target = self._types.get(named(ref))
        return target is not None and target.has("inaccessible")

    def _check_type(self, merged: MergedType) -> None:
        if self._has_only_hidden_parts(merged):
            message = f'"{merged.name}" is visible, and all it consists of is inaccessible'
            self._error("ONLY_INACCESSIBLE_CHILDREN", merged.name, message)
        for field in merged.fields.values():
            at = f"{merged.name}.{field.name}"
            if field.has("inaccessible"):
                self._check_implemented(merged, field.name, at)
                continue
            if self._is_hidden(field.type):
                self._error(
                    "REFERENCED_INACCESSIBLE", at, f'"{at}" is visible and of the inaccessible type {field.type}'
                )
            for arg in field.args.values():
                self._check_input(f"{at}({arg.name}:)", arg)
                if arg.has("inaccessible"):
                    self._check_argument_implemented(merged, field.name, arg)
        for value in merged.inputs.values():
            self._check_input(f"{merged.name}.{value.name}", value)

    def _has_only_hidden_parts(self, merged: MergedType) -> bool:
        parts = [
            *(each.has("inaccessible") for each in merged.fields.values()),
            *(each.has("inaccessible") for each in merged.inputs.values()),
            *(each.has("inaccessible") for each in merged.values.values()),
            *(self._is_hidden(member) for member in merged.members),
        ]
        return bool(parts) and all(parts)

    def _check_input(self, coordinate: str, value: MergedInput) -> None:
        if value.has("inaccessible"):
            if is_non_null(value.type) and value.default is None:
                message = f'"{coordinate}" is inaccessible and required: no client could give it'
                self._error("REQUIRED_INACCESSIBLE", coordinate, message)
            return
        if self._is_hidden(value.type):
            message = f'"{coordinate}" is visible and of the inaccessible type {value.type}'
            self._error("REFERENCED_INACCESSIBLE", coordinate, message)
        elif value.default is not None:
            for hidden in self._hidden_in(value.type, parse_const_value(value.default)):
                message = (
                    f'"{coordinate}" is visible, and its default value {value.default} uses "{hidden}", which is not'
                )
                self._error("DEFAULT_VALUE_USES_INACCESSIBLE", coordinate, message)

    def _hidden_in(self, ref: str, node: ConstValueNode) -> Iterator[str]:
        target = self._types.get(named(ref))
        if isinstance(node, ListValueNode):
            for item in node.values:
                yield from self._hidden_in(ref, item)
        elif target is None:
            return
        elif isinstance(node, EnumValueNode) and target.kind is Kind.ENUM:
            value = target.values.get(node.value)
            if value is not None and value.has("inaccessible"):
                yield f"{target.name}.{node.value}"
        elif isinstance(node, ObjectValueNode):
            for part in node.fields:
                field = target.inputs.get(part.name.value)
                if field is None:
                    continue
                if field.has("inaccessible"):
                    yield f"{target.name}.{field.name}"
                yield from self._hidden_in(field.type, part.value)

    def _visible_interfaces(self, merged: MergedType) -> Iterator[MergedType]:
        for name in merged.implements:
            interface = self._types.get(name)
            if interface is not None and not interface.has("inaccessible"):
                yield interface

    def _check_implemented(self, merged: MergedType, name: str, coordinate: str) -> None:
        for interface in self._visible_interfaces(merged):
            field = interface.fields.get(name)
            if field is not None and not field.has("inaccessible"):
                message = f'"{coordinate}" is inaccessible, and implements "{interface.name}.{name}", which is visible'
                self._error("IMPLEMENTED_BY_INACCESSIBLE", coordinate, message)

    def _check_argument_implemented(self, merged: MergedType, field_name: str, arg: MergedInput) -> None:
        for interface in self._visible_interfaces(merged):
            field = interface.fields.get(field_name)
            mine = field.args.get(arg.name) if field is not None and not field.has("inaccessible") else None
            if mine is not None and not mine.has("inaccessible"):
                at = f"{merged.name}.{field_name}({arg.name}:)"
                message = f'"{at}" is inaccessible, and visible in the interface "{interface.name}"'
                self._error("IMPLEMENTED_BY_INACCESSIBLE", at, message)
