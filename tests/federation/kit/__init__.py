"""In-memory subgraphs derived from a supergraph, over one world of objects that a monolith can serve too."""

from tests.federation.kit.supergraphs import subgraph_sdl, supergraph
from tests.federation.kit.world import World, WorldFetcher, monolith

__all__ = ["World", "WorldFetcher", "monolith", "subgraph_sdl", "supergraph"]
