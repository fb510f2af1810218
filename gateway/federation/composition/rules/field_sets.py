"""What ``@key``, ``@requires`` and ``@provides`` may name. Source: federation specification, those directives."""

from graphql import StringValueNode

from gateway.federation.composition.fieldsets import FieldSet, FieldSetError, Use, parse_field_set, resolve
from gateway.federation.composition.model import COMPOSITE, Applied, Field, Kind, TypeDef
from gateway.federation.composition.rules.reporter import Reporter, at
from gateway.federation.composition.typerefs import named

_INTERFACE_KEYS_SINCE = (2, 3)


def check_field_sets(reporter: Reporter) -> None:
    """Record every key, requirement and provision that does not fit the types of its subgraph."""
    for parent in reporter.schema.types.values():
        for applied in parent.applied("key"):
            _check_key(parent, applied, reporter)
        for field in parent.fields.values():
            for applied in field.applied("requires"):
                _check_requires(parent, field, applied, reporter)
            for applied in field.applied("provides"):
                _check_provides(parent, field, applied, reporter)


def _check_key(parent: TypeDef, applied: Applied, reporter: Reporter) -> None:
    if parent.kind is Kind.INTERFACE and reporter.schema.version < _INTERFACE_KEYS_SINCE:
        message = f'@key on the interface "{parent.name}" needs federation v2.3'
        reporter.error("KEY_UNSUPPORTED_ON_INTERFACE", parent.name, message, applied.line)
        return
    uses = _uses("KEY", parent.name, parent, applied, reporter)
    for use in uses or ():
        name = at(use.parent, use.field)
        target = reporter.schema.types.get(named(use.field.type))
        if use.field.args:
            message = f'@key of "{parent.name}" names "{name}", which takes arguments'
            reporter.error("KEY_FIELDS_HAS_ARGS", parent.name, message, applied.line)
        if target is not None and target.kind in {Kind.INTERFACE, Kind.UNION}:
            message = f'@key of "{parent.name}" names "{name}", which is of the abstract type {target.name}'
            reporter.error("KEY_FIELDS_SELECT_INVALID_TYPE", parent.name, message, applied.line)


def _check_requires(parent: TypeDef, field: Field, applied: Applied, reporter: Reporter) -> None:
    coordinate = at(parent, field)
    if parent.kind is Kind.INTERFACE:
        message = f'"{coordinate}" belongs to an interface and cannot require anything'
        reporter.error("REQUIRES_UNSUPPORTED_ON_INTERFACE", coordinate, message, applied.line)
        return
    uses = _uses("REQUIRES", coordinate, parent, applied, reporter)
    _check_external("REQUIRES", coordinate, applied, uses or [], reporter)


def _check_provides(parent: TypeDef, field: Field, applied: Applied, reporter: Reporter) -> None:
    coordinate = at(parent, field)
    if parent.kind is Kind.INTERFACE:
        message = f'"{coordinate}" belongs to an interface and cannot provide anything'
        reporter.error("PROVIDES_UNSUPPORTED_ON_INTERFACE", coordinate, message, applied.line)
        return
    child = reporter.schema.types.get(named(field.type))
    if child is None or child.kind not in COMPOSITE:
        message = f'"{coordinate}" is of type {field.type}, which has no fields to provide'
        reporter.error("PROVIDES_ON_NON_OBJECT_FIELD", coordinate, message, applied.line)
        return
    uses = _uses("PROVIDES", coordinate, child, applied, reporter)
    for use in uses or ():
        if use.field.args:
            message = f'@provides on "{coordinate}" names "{at(use.parent, use.field)}", which takes arguments'
            reporter.error("PROVIDES_FIELDS_HAS_ARGS", coordinate, message, applied.line)
    _check_external("PROVIDES", coordinate, applied, uses or [], reporter)


def _check_external(prefix: str, coordinate: str, applied: Applied, uses: list[Use], reporter: Reporter) -> None:
    """Only what another subgraph resolves can be required or provided: leaves, or fields above them, are external."""
    for use in uses:
        if use.select.selections or use.under_external or use.field.is_external:
            continue
        name = at(use.parent, use.field)
        message = f'@{prefix.lower()} on "{coordinate}" names "{name}", which is not external'
        reporter.error(f"{prefix}_FIELDS_MISSING_EXTERNAL", coordinate, message, applied.line)


def _uses(prefix: str, coordinate: str, parent: TypeDef, applied: Applied, reporter: Reporter) -> list[Use] | None:
    """The fields a set names; None when it has no sound form, which is recorded."""
    directive = f'@{prefix.lower()} on "{coordinate}"'
    node = applied.args.get("fields")
    if not isinstance(node, StringValueNode):
        reporter.error(
            f"{prefix}_INVALID_FIELDS_TYPE", coordinate, f"{directive} has fields that are no string", applied.line
        )
        return None
    try:
        selections = parse_field_set(node.value)
    except FieldSetError as error:
        message = f'{directive} has fields "{node.value}" that do not parse: {error}'
        reporter.error(f"{prefix}_INVALID_FIELDS", coordinate, message, applied.line)
        return None
    if _has(selections, "has_directives"):
        message = f'{directive} has fields "{node.value}" with a directive in them'
        reporter.error(f"{prefix}_DIRECTIVE_IN_FIELDS_ARG", coordinate, message, applied.line)
        return None
    uses, wrong = resolve(reporter.schema, parent, selections)
    if _has(selections, "alias"):
        wrong.append("aliases cannot be used")
    for each in wrong:
        message = f'{directive} has fields "{node.value}": {each}'
        reporter.error(f"{prefix}_INVALID_FIELDS", coordinate, message, applied.line)
    return None if wrong else uses


def _has(selections: FieldSet, attribute: str) -> bool:
    return any(getattr(each, attribute, None) or _has(each.selections, attribute) for each in selections)
