"""Directives that GraphQL's locations allow and federation does not."""

from gateway.access.requirement import ARGUMENTS
from gateway.federation.composition.fieldsets import FieldSet, FieldSetError, On, parse_field_set
from gateway.federation.composition.model import Applied, Kind, TypeDef
from gateway.federation.composition.rules.reporter import Reporter, at

_UNSUPPORTED = ("context", "fromContext")


def check_placement(reporter: Reporter) -> None:
    """Record directives on interfaces that only objects can carry, and ones composition does not support."""
    for parent in reporter.schema.types.values():
        if parent.is_interface_object and not parent.applied("key"):
            message = f'"{parent.name}" is an @interfaceObject without a @key'
            reporter.error("INTERFACE_OBJECT_USAGE_ERROR", parent.name, message, parent.line)
        if parent.kind is Kind.INTERFACE:
            _check_interface_keys(reporter, parent)
        _check_unsupported(reporter, parent.name, [each.name for each in parent.directives if each.is_known])
        for field in parent.fields.values():
            for arg in field.args.values():
                names = [each.name for each in arg.directives if each.is_known]
                _check_unsupported(reporter, f"{at(parent, field)}({arg.name}:)", names)
            if field.has("cacheTag"):
                message = f'"{at(parent, field)}" has @cacheTag, which the supergraph does not carry'
                reporter.problems.hint("DIRECTIVE_NOT_CARRIED", message, subgraphs=[reporter.schema.name])
            if parent.kind is Kind.INTERFACE and field.has("shareable"):
                message = f'"{at(parent, field)}" belongs to an interface, which shares nothing by itself'
                reporter.error("INVALID_SHAREABLE_USAGE", at(parent, field), message, field.line)
    _check_access_control(reporter)


def _check_interface_keys(reporter: Reporter, parent: TypeDef) -> None:
    """A key of an interface identifies any of its objects, so each implementer has it too."""
    for key in parent.applied("key"):
        wanted, is_resolvable = _normal(key)
        for name in sorted(reporter.schema.possible_types.get(parent.name, frozenset())):
            implementer = reporter.schema.types[name]
            keys = [_normal(each) for each in implementer.applied("key")]
            if (wanted, True) not in keys and (is_resolvable or (wanted, False) not in keys):
                message = f'"{name}" implements "{parent.name}" and lacks its @key "{key.value("fields")}"'
                reporter.error("INTERFACE_KEY_NOT_ON_IMPLEMENTATION", name, message, implementer.line)


def _normal(key: Applied) -> tuple[frozenset[object], bool]:
    """A key's meaning: what it selects in any order, and whether it can be used to enter."""
    try:
        selections = parse_field_set(str(key.value("fields")))
    except FieldSetError:
        selections = ()
    return _unordered(selections), key.value("resolvable", True) is not False


def _unordered(selections: FieldSet) -> frozenset[object]:
    return frozenset(
        (each.type if isinstance(each, On) else each.name, _unordered(each.selections)) for each in selections
    )


def _check_unsupported(reporter: Reporter, coordinate: str, names: list[str]) -> None:
    for name in _UNSUPPORTED:
        if name in names:
            reporter.error("UNSUPPORTED_FEATURE", coordinate, f'"{coordinate}" carries @{name}')


def _check_access_control(reporter: Reporter) -> None:
    for parent in reporter.schema.types.values():
        if parent.kind is not Kind.INTERFACE and not parent.is_interface_object:
            continue
        for name in ARGUMENTS:
            if parent.has(name):
                message = f'"{parent.name}" is an interface and carries @{name}'
                reporter.error("AUTH_REQUIREMENTS_APPLIED_ON_INTERFACE", parent.name, message, parent.line)
            # A field of an interface object is resolved by its subgraph, which may guard it.
            for field in parent.fields.values():
                if parent.kind is Kind.INTERFACE and field.has(name):
                    message = f'"{at(parent, field)}" belongs to an interface and carries @{name}'
                    reporter.error("AUTH_REQUIREMENTS_APPLIED_ON_INTERFACE", at(parent, field), message, field.line)
