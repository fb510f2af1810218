"""The order in which a supergraph comes together."""

from collections.abc import Sequence

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.merging.access import raise_to_interfaces
from gateway.federation.composition.merging.applied import merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.merging.definitions import find_composed, merge_definitions
from gateway.federation.composition.merging.descriptions import merge_descriptions
from gateway.federation.composition.merging.enums import Usage, merge_enum, usages
from gateway.federation.composition.merging.fields import inherit_from_interface_objects, merge_fields
from gateway.federation.composition.merging.inputs import merge_input_type
from gateway.federation.composition.merging.overrides import Overrides, find_overrides
from gateway.federation.composition.merging.types import declare_types
from gateway.federation.composition.model import ROOT_TYPES, Kind, SubgraphSchema
from gateway.federation.composition.supergraph import Supergraph


def merge_subgraphs(schemas: Sequence[SubgraphSchema], problems: Problems) -> tuple[Supergraph, Overrides]:
    """The supergraph of valid subgraphs; conflicts are recorded, and it is only worth printing without any."""
    composed = find_composed(schemas, problems)
    overrides = find_overrides(schemas, problems)
    context = MergeContext(tuple(schemas), overrides, composed, {}, problems)
    declare_types(context)
    for merged in context.types.values():
        if merged.kind in {Kind.OBJECT, Kind.INTERFACE}:
            merge_fields(merged, context)
        elif merged.kind is Kind.INPUT_OBJECT:
            merge_input_type(merged, context)
    # A root type without a field, such as one that held nothing but machinery, is no root.
    for name in ROOT_TYPES:
        if name in context.types and not context.types[name].fields:
            del context.types[name]
    inherit_from_interface_objects(context.types, context)
    raise_to_interfaces(context)
    usage = usages(context.types)
    for merged in context.types.values():
        if merged.kind is Kind.ENUM:
            merge_enum(merged, usage.get(merged.name, Usage.NONE), context)
    supergraph = Supergraph(
        tuple(schemas),
        context.types,
        merge_definitions(schemas, composed, problems),
        list(dict.fromkeys(each.link for each in composed.values())),
        merge_applied("schema", ((schema.name, schema.schema_directives) for schema in schemas), context),
        merge_descriptions("schema", (schema.schema_description for schema in schemas), problems),
    )
    return supergraph, overrides
