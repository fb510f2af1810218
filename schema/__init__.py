"""The Strawberry schema: one module a domain, and the state of the upstreams as fields."""
