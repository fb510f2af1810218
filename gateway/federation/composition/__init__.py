"""Composition: subgraph SDLs become one supergraph, or a list of every reason why they do not; and back again.

Pure functions over values; graphql-core is the only dependency.
"""

from gateway.federation.composition.codes import CODES
from gateway.federation.composition.compose import CompositionResult, compose
from gateway.federation.composition.errors import CompositionError, CompositionHint
from gateway.federation.composition.extract import extract_subgraphs
from gateway.federation.composition.model import Subgraph

__all__ = [
    "CODES",
    "CompositionError",
    "CompositionHint",
    "CompositionResult",
    "Subgraph",
    "compose",
    "extract_subgraphs",
]
