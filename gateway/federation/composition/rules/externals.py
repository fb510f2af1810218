"""Where ``@external`` may stand, and that it serves a purpose."""

from gateway.federation.composition.model import Kind
from gateway.federation.composition.rules.reporter import Reporter, at
from gateway.federation.composition.usage import used_coordinates


def check_externals(reporter: Reporter) -> None:
    """Record external fields of interfaces and external fields nothing refers to."""
    used = used_coordinates(reporter.schema)
    for parent, field in reporter.schema.fields():
        if not field.is_external:
            continue
        coordinate = at(parent, field)
        if field.has("provides"):
            message = f'"{coordinate}" is both @external and @provides: who does not resolve it cannot provide with it'
            reporter.error("EXTERNAL_COLLISION_WITH_ANOTHER_DIRECTIVE", coordinate, message, field.line)
        if parent.kind is Kind.INTERFACE:
            message = f'"{coordinate}" belongs to an interface and cannot be external'
            reporter.error("EXTERNAL_ON_INTERFACE", coordinate, message, field.line)
        elif (parent.name, field.name) not in used:
            message = f'"{coordinate}" is external, and no @key, @requires, @provides or interface needs it'
            reporter.error("EXTERNAL_UNUSED", coordinate, message, field.line)
