"""Where answers are kept: memory first, Redis second.

`RedisStore` is not among the exports: it needs the `redis` extra. It is in `clients.stores.redis_store`.
"""

from clients.stores.base import Entry, Store
from clients.stores.memory import MemoryFigures, MemoryStore
from clients.stores.tiered import TieredStore

__all__ = ["Entry", "MemoryFigures", "MemoryStore", "Store", "TieredStore"]
