"""Everything that can go wrong in federation, as one tree.

FederationError
├── SupergraphError        the supergraph cannot be loaded; the process must not start with it
│   └── UnsupportedFeature it uses a feature of the join or link specification that is not supported
├── InvalidDocument        a client's document does not parse or is not valid; the client is told
├── PlanningError          one operation cannot be planned; the client is told and nothing is sent
│   └── PlanLimitExceeded  planning would exceed one of its limits
└── FetchFailed            one request to one subgraph failed as a whole; the other requests go on
"""

from collections.abc import Sequence

from graphql import GraphQLError


class FederationError(Exception):
    """Base of the errors of this package."""


class SupergraphError(FederationError):
    """The supergraph is not usable. The message names the type, field or subgraph at fault."""


class UnsupportedFeature(SupergraphError):
    """The supergraph asks for a feature that is not supported, so its plans could be wrong.

    Args:
        feature: what was asked for, e.g. ``join v0.1`` or ``@join__field(contextArguments:)``.
        advice: what to do about it.
    """

    def __init__(self, feature: str, advice: str) -> None:
        super().__init__(f"The supergraph uses {feature}, which is not supported: {advice}.")
        self.feature = feature


class InvalidDocument(FederationError):
    """A client's document is not valid GraphQL for this schema.

    Args:
        errors: what is wrong with it.
        code: ``extensions.code`` of each.
    """

    def __init__(self, errors: Sequence[GraphQLError], code: str) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = tuple(errors)
        self.code = code


class PlanningError(FederationError):
    """An operation has no plan. ``code`` goes to the client as ``extensions.code``."""

    code = "PLANNING_FAILED"


class PlanLimitExceeded(PlanningError):
    """Planning was stopped by one of its limits.

    Args:
        limit: the name of the limit, a field of ``PlanLimits``.
        allowed: its value.
    """

    code = "PLAN_LIMIT_EXCEEDED"

    def __init__(self, limit: str, allowed: float) -> None:
        super().__init__(
            f"The operation is too expensive to plan: it exceeds {limit} = {allowed:g}. Ask for less at once."
        )
        self.limit = limit
        self.allowed = allowed


class FetchFailed(FederationError):
    """A subgraph gave no usable GraphQL response.

    Args:
        service: the name of the subgraph.
        message: what happened, fit for a client's eyes.
        code: ``extensions.code`` of the error entry.
        retry_after_s: when to try again, if that is known.
    """

    def __init__(
        self, service: str, message: str, code: str = "SUBREQUEST_HTTP_ERROR", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.service = service
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
