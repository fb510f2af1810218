"""The planner: from an operation to the requests that answer it. Pure; it never waits and never calls anyone."""

from gateway.federation.planner.limits import PlanLimits
from gateway.federation.planner.operation import Operation, Selection
from gateway.federation.planner.plan import Entities, InputField, Plan, Rename, Request, RequestKind, Target
from gateway.federation.planner.planner import Planner

__all__ = [
    "Entities",
    "InputField",
    "Operation",
    "Plan",
    "PlanLimits",
    "Planner",
    "Rename",
    "Request",
    "RequestKind",
    "Selection",
    "Target",
]
