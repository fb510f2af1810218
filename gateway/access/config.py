"""`access:` of gateway.yaml, and the callable that it names."""

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

import msgspec

from clients.call import Caller
from gateway.yaml_source import Finding

PolicyEvaluator: TypeAlias = Callable[[frozenset[str], Caller], Awaitable[Collection[str]]]
"""Says which of these policies the caller is granted."""

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class AccessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of fields that a caller may not see (`@authenticated`, `@requiresScopes`, `@policy`)."""

    reject_unauthorized: bool = False
    """Refuse the whole operation with 403. Default false: such fields are null with an error, the rest is answered."""
    policies: str | None = None
    """Coroutine function, `module:name`, that says which policies a caller is granted. Default: none is granted."""


class AccessError(Exception):
    """The callable of `access.policies` cannot be used; the message names it and says why."""


def access_findings(access: AccessConfig) -> list[Finding]:
    """What is wrong with `access:` by itself."""
    if access.policies is not None and not _REFERENCE.fullmatch(access.policies):
        return [Finding(("access", "policies"), f"expected module:name, got {access.policies!r}")]
    return []


def load_evaluator(access: AccessConfig) -> PolicyEvaluator | None:
    """The callable of `access.policies`.

    Raises:
        AccessError: it cannot be used.
    """
    if access.policies is None:
        return None
    module, _, name = access.policies.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise AccessError(f"{access.policies}: {error}; is it on the Python path?") from error
    if found is None:
        raise AccessError(f"{access.policies}: the module {module} has no {name}")
    if not inspect.iscoroutinefunction(found) and not inspect.iscoroutinefunction(getattr(found, "__call__", None)):  # noqa: B004  # what is asked is how it is called
        raise AccessError(f"{access.policies}: expected async def {name}(policies, caller)")
    evaluator: PolicyEvaluator = found
    return evaluator
