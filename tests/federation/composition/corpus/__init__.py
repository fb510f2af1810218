"""Subgraph sets by feature, with what composing them must give."""

from tests.federation.composition.corpus.sets import SubgraphSet, load_corpus

__all__ = ["SubgraphSet", "load_corpus"]
