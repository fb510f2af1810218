"""Directives that GraphQL's locations allow and federation does not."""

from gateway.federation.composition.model import Kind
from gateway.federation.composition.rules.reporter import Reporter, at

_ACCESS_CONTROL = ("authenticated", "requiresScopes", "policy")
_UNSUPPORTED = ("context", "fromContext")


def check_placement(reporter: Reporter) -> None:
    """Record directives on interfaces that only objects can carry, and ones composition does not support."""
    for parent in reporter.schema.types.values():
        if parent.is_interface_object and not parent.applied("key"):
            message = f'"{parent.name}" is an @interfaceObject without a @key'
            reporter.error("INTERFACE_OBJECT_USAGE_ERROR", parent.name, message, parent.line)
        _check_unsupported(reporter, parent.name, [each.name for each in parent.directives if each.is_known])
        for field in parent.fields.values():
            for arg in field.args.values():
                names = [each.name for each in arg.directives if each.is_known]
                _check_unsupported(reporter, f"{at(parent, field)}({arg.name}:)", names)
            if parent.kind is Kind.INTERFACE and field.has("shareable"):
                message = f'"{at(parent, field)}" belongs to an interface, which shares nothing by itself'
                reporter.error("INVALID_SHAREABLE_USAGE", at(parent, field), message, field.line)
    _check_access_control(reporter)


def _check_unsupported(reporter: Reporter, coordinate: str, names: list[str]) -> None:
    for name in _UNSUPPORTED:
        if name in names:
            reporter.error("UNSUPPORTED_FEATURE", coordinate, f'"{coordinate}" carries @{name}')


def _check_access_control(reporter: Reporter) -> None:
    for parent in reporter.schema.types.values():
        if parent.kind is not Kind.INTERFACE and not parent.is_interface_object:
            continue
        for name in _ACCESS_CONTROL:
            if parent.has(name):
                message = f'"{parent.name}" is an interface and carries @{name}'
                reporter.error("AUTH_REQUIREMENTS_APPLIED_ON_INTERFACE", parent.name, message, parent.line)
            for field in parent.fields.values():
                if field.has(name):
                    message = f'"{at(parent, field)}" belongs to an interface and carries @{name}'
                    reporter.error("AUTH_REQUIREMENTS_APPLIED_ON_INTERFACE", at(parent, field), message, field.line)
