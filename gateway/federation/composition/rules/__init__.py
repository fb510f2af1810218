"""Rules that one subgraph must meet by itself, before anything is merged."""

from gateway.federation.composition.rules.subgraphs import check_subgraph

__all__ = ["check_subgraph"]
