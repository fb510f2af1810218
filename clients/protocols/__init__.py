"""GraphQL and REST: an operation becomes a request, a response becomes rows."""
