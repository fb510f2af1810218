"""In-memory subgraphs derived from a supergraph, over one world of objects that a monolith can serve too."""

from tests.federation.kit.federation import Federation, plan
from tests.federation.kit.supergraphs import subgraph_sdl, supergraph
from tests.federation.kit.world import World, WorldFetcher, monolith

__all__ = ["Federation", "World", "WorldFetcher", "monolith", "plan", "subgraph_sdl", "supergraph"]
