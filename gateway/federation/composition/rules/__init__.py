"""Rules that subgraphs must meet before anything is merged."""

from gateway.federation.composition.rules.bases import check_bases
from gateway.federation.composition.rules.subgraphs import check_subgraph

__all__ = ["check_bases", "check_subgraph"]
