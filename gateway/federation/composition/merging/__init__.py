"""Merging: subgraph schemas in, one supergraph out, with every conflict recorded."""

from gateway.federation.composition.merging.supergraphs import merge_subgraphs

__all__ = ["merge_subgraphs"]
