"""The supergraph: one model of it, from supergraph SDL, and the schema clients see."""

from gateway.federation.supergraph.api_schema import derive_api_schema
from gateway.federation.supergraph.field_sets import FieldSelection, FieldSet, parse_field_set
from gateway.federation.supergraph.labels import active_labels
from gateway.federation.supergraph.model import Field, JoinField, Key, Kind, LocalField, Model, Subgraph, Type
from gateway.federation.supergraph.parse import parse_supergraph

__all__ = [
    "Field",
    "FieldSelection",
    "FieldSet",
    "JoinField",
    "Key",
    "Kind",
    "LocalField",
    "Model",
    "Subgraph",
    "Type",
    "active_labels",
    "derive_api_schema",
    "parse_field_set",
    "parse_supergraph",
]
