"""GraphQL over HTTP: negotiation, parameters, documents, GraphiQL."""
