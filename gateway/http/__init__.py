"""GraphQL over HTTP: negotiation, parameters, documents, GraphiQL."""

from gateway.http.documents import CacheInfo, Document, DocumentCache, LimitCheck, Operation
from gateway.http.endpoint import Answer, Exchange, GraphQLEndpoint, Handler, OnError
from gateway.http.errors import RequestError, error_entry, request_error_types
from gateway.http.negotiation import MediaType
from gateway.http.params import GraphQLParams, ParamLimits

__all__ = [
    "Answer",
    "CacheInfo",
    "Document",
    "DocumentCache",
    "Exchange",
    "GraphQLEndpoint",
    "GraphQLParams",
    "Handler",
    "LimitCheck",
    "MediaType",
    "OnError",
    "Operation",
    "ParamLimits",
    "RequestError",
    "error_entry",
    "request_error_types",
]
