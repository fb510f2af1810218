"""``@cost`` and ``@listSize``. Source: specs.apollo.dev/cost/v0.1, after the IBM cost specification."""

from gateway.federation.composition.model import Applied, Field, Kind, TypeDef
from gateway.federation.composition.rules.reporter import Reporter, at
from gateway.federation.composition.typerefs import is_list, named, nullable


def check_costs(reporter: Reporter) -> None:
    """Record costs on interfaces, and list sizes that speak of no list or no integer argument."""
    for parent, field in reporter.schema.fields():
        if parent.kind is Kind.INTERFACE and field.has("cost"):
            message = f'"{at(parent, field)}" belongs to an interface, whose cost is that of its implementers'
            reporter.error("COST_APPLIED_TO_INTERFACE_FIELD", at(parent, field), message, field.line)
        for applied in field.applied("listSize"):
            _check_list_size(parent, field, applied, reporter)


def _check_list_size(parent: TypeDef, field: Field, applied: Applied, reporter: Reporter) -> None:
    coordinate = at(parent, field)
    sized = applied.value("sizedFields")
    if not sized and not is_list(nullable(field.type)):
        message = f'"{coordinate}" is of type {field.type}, which is no list'
        reporter.error("LIST_SIZE_APPLIED_TO_NON_LIST", coordinate, message, field.line)
    size = applied.value("assumedSize")
    if isinstance(size, int) and size < 0:
        message = f'"{coordinate}" assumes a size of {size}'
        reporter.error("LIST_SIZE_INVALID_ASSUMED_SIZE", coordinate, message, field.line)
    for name in applied.value("slicingArguments") or ():
        arg = field.args.get(name)
        if arg is None or nullable(arg.type) != "Int":
            message = f'"{coordinate}" is sliced by "{name}", which is no argument of type Int'
            reporter.error("LIST_SIZE_INVALID_SLICING_ARGUMENT", coordinate, message, field.line)
    child = reporter.schema.types.get(named(field.type))
    for name in sized or ():
        target = child.fields.get(name) if child is not None else None
        if target is None:
            message = f'"{coordinate}" sizes "{name}", which is no field of {named(field.type)}'
            reporter.error("LIST_SIZE_INVALID_SIZED_FIELD", coordinate, message, field.line)
        elif not is_list(nullable(target.type)):
            message = f'"{coordinate}" sizes "{name}", which is of type {target.type} and no list'
            reporter.error("LIST_SIZE_APPLIED_TO_NON_LIST", coordinate, message, field.line)
