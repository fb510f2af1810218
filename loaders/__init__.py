"""Request-scoped loaders, and fields that batch by declaration."""
