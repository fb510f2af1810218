"""Request-scoped DataLoaders, and fields that batch by declaration."""
