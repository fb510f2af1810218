"""What is wrong with a request to an address that is not GraphQL, beside what `gateway.http.errors` has.

RequestError
├── NotFound        404  nothing is there
└── NotReady        503  the gateway starts or stops
"""

from gateway.http.errors import RequestError


class NotFound(RequestError):
    """Nothing has this address, or this name."""

    code = "NOT_FOUND"
    category = "not_found"
    status = 404


class NotReady(RequestError):
    """The gateway is starting, or about to stop; it answers nothing yet, or no more."""

    code = "NOT_READY"
    category = "internal"
    status = 503
