"""An executor asked as the pipeline asks it, on behalf of any caller."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec

from clients.call import Caller
from gateway.context import RequestContext
from gateway.errors import ErrorFormatter
from gateway.execution import Asked, Executor


async def answer_of(
    executor: Executor, caller: Caller, query: str, variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`data` and `errors`, each left out where there is none."""
    executable = executor.current()
    document = executable.documents.get(query)
    formatter = ErrorFormatter(caller.request_id, datetime(2026, 1, 1, tzinfo=UTC), lambda _error, _request: None)
    async with RequestContext(caller, SimpleNamespace(upstreams={})) as context:
        executed = await executable.execute(Asked(document, document.operation(), variables or {}, context, formatter))
    answer: dict[str, Any] = {}
    if executed.data is not msgspec.UNSET:
        answer["data"] = msgspec.to_builtins(executed.data)
    if executed.errors:
        answer["errors"] = executed.errors
    return answer


def withheld(answer: Mapping[str, Any]) -> list[str]:
    """The paths of the errors that say that something is withheld, dotted; there must be no others."""
    errors = answer.get("errors", [])
    assert {error["extensions"]["code"] for error in errors} <= {"UNAUTHORIZED_FIELD_OR_TYPE"}, errors
    return [".".join(map(str, error["path"])) for error in errors]
