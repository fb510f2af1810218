"""One line a request, with what matters; a longer one for a slow request, with its plan and its calls."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Any

import msgspec
import structlog
from graphql import OperationType

from clients.call import Made, ServedBy
from gateway.context import RequestContext
from gateway.federation.planner import Plan
from gateway.http.documents import Operation
from gateway.http.endpoint import Answer
from gateway.http.errors import Overloaded, RequestError
from gateway.telemetry.config import RequestLogConfig
from gateway.telemetry.figures import RequestFigures
from gateway.telemetry.plans import PlanNames, plan_text

_MOST_NAME = 100
_MOST_DEGRADED = 10
_MOST_CALLS = 20
_MOST_VARIABLES = 2_000
_KINDS = {kind: kind.value for kind in OperationType}
_BY: dict[ServedBy | None, str] = {None: "failed", **{by: by.value for by in ServedBy}}
_DIGITS = re.compile(r"-?\d{9,}(?:\.\d*)?")


class RequestLog:
    """Counts requests and writes their lines. Whatever goes wrong here, the request does not notice.

    Args:
        config: which requests are worth a line.
        figures: counts all of them; None counts nothing.
        random: decides which are in the sample.
    """

    def __init__(
        self,
        config: RequestLogConfig | None = None,
        *,
        figures: RequestFigures | None = None,
        random: Random | None = None,
    ) -> None:
        config = config or RequestLogConfig()
        self._log = structlog.get_logger("gateway").bind()  # now: unbound, it is bound again for each line
        self._figures = figures
        self._leaves_out: Callable[[], bool] | None = _sampling(config.sample, random or Random())
        self._slow_s = inf if config.slow_s is None else config.slow_s
        self._errors = "errors" in config.always
        self._degraded = "degraded" in config.always
        self._variables = config.variables
        self._plans = PlanNames()
        self._writes = self._log.is_enabled_for(logging.INFO)

    def finished(
        self,
        operation: Operation,
        context: RequestContext,
        answer: Answer,
        duration_s: float,
        *,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        """An operation was answered. One that is not worth a line costs next to nothing."""
        try:
            errors = answer.errors
            extensions = answer.extensions
            degraded = extensions.get("upstreams", ()) if extensions else ()
            if self._figures is not None:
                self._figures.executed(
                    operation.kind,
                    errors,
                    duration_s,
                    degraded=bool(degraded),
                    data=answer.data is not msgspec.UNSET and answer.data is not None,
                )
            operation.figures.note(duration_s, errors, degraded, context.caller.tally.counts)
            if (
                self._leaves_out is not None
                and duration_s < self._slow_s
                and not (errors and self._errors)
                and not (degraded and self._degraded)
                and self._leaves_out()
            ):
                return
            if not self._writes and duration_s < self._slow_s:
                return
            plan: Plan | None = answer.plan
            line = self._line(operation, context, duration_s, plan)
            if errors:
                line["errors"] = dict(Counter(entry["extensions"]["code"] for entry in errors))
            if degraded:
                line["degraded"] = [
                    {"service": d["service"], "served_by": d["servedBy"], "reason": d["reason"], "age_ms": d["ageMs"]}
                    for d in degraded[:_MOST_DEGRADED]
                ]
            if self._variables and variables:
                line["variables"] = _bounded(variables)
            if duration_s < self._slow_s:
                self._log.info("request", **line)
                return
            line["calls"] = _slowest(context.caller.tally.first)
            if plan is not None:
                line["plan_text"] = plan_text(plan)
            self._log.warning("slow request", **line)
        except Exception as error:  # noqa: BLE001  # see the class
            self._log.error("no line for a request", request_id=context.caller.request_id, exc_info=error)

    def refused(self, error: RequestError, request_id: str) -> None:
        """A request was refused before anything was executed.

        Its line is in the sample or not, whatever its error: who is refused may come again at once, and for ever.
        Overload has no lines, which would add to it; it is counted.
        """
        if self._figures is not None:
            self._figures.refused(error.code)
        if not isinstance(error, Overloaded) and (self._leaves_out is None or not self._leaves_out()):
            self._log.info("request refused", code=error.code, request_id=request_id)

    def masked(self, error: Exception, request_id: str) -> None:
        """The cause of an error that the client is not shown."""
        self._log.error("masked error", request_id=request_id, exc_info=error)

    def unanswered(self, error: Exception, request_id: str) -> None:
        """The cause of a whole answer that the client is not shown."""
        if self._figures is not None:
            self._figures.refused("INTERNAL_SERVER_ERROR")
        self.masked(error, request_id)

    def _line(
        self, operation: Operation, context: RequestContext, duration_s: float, plan: Plan | None
    ) -> dict[str, Any]:
        caller = context.caller
        line: dict[str, Any] = {"kind": _KINDS[operation.kind], "duration_ms": round(duration_s * 1000, 2)}
        if operation.name is not None:
            line["operation"] = operation.name[:_MOST_NAME]
        if plan is not None:
            line["plan"] = self._plans.name(plan)
        if counts := caller.tally.counts:
            line["fetches"] = sum(counts.values())
            line["served_by"] = {_BY[by]: count for by, count in counts.items()}
        if caller.tenant:
            line["tenant"] = caller.tenant
        line["request_id"] = caller.request_id
        line["correlation_id"] = caller.correlation_id
        if caller.span is not None:
            line["trace_id"] = caller.span.trace
        return line


def _sampling(share: float, random: Random) -> Callable[[], bool] | None:
    """Whether a request is left out; None where none is."""
    if share >= 1:
        return None
    if share <= 0:
        return lambda: True
    draw = random.random
    return lambda: draw() >= share


def _slowest(calls: list[Made]) -> list[dict[str, Any]]:
    return [
        {
            "service": made.service,
            "operation": made.operation,
            "served_by": _BY[made.by],
            "duration_ms": round(made.duration_s * 1000, 2),
        }
        for made in sorted(calls, key=lambda made: -made.duration_s)[:_MOST_CALLS]
    ]


def _bounded(variables: Mapping[str, Any]) -> Any:
    """Variables as the log takes them: numbers that may be accounts as text, which is masked; cut when long."""
    left = _MOST_VARIABLES

    def cut(value: Any) -> Any:
        nonlocal left
        if left <= 0:
            return "(cut)"
        if isinstance(value, Mapping):
            return {str(key)[:_MOST_NAME]: cut(item) for key, item in _first(value.items())}
        if isinstance(value, list):
            return [cut(item) for item in _first(value)]
        text = str(value)
        left -= len(text) + 1
        if isinstance(value, str):
            return text if left >= 0 else text[: left + len(text)] + " (cut)"
        return text if _DIGITS.fullmatch(text) else value

    def _first(items: Any) -> Any:
        nonlocal left
        for item in items:
            left -= 2
            if left <= 0:
                return
            yield item

    return cut(variables)
