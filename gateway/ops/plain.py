"""Records of the pipeline as JSON: names in camel case, times as people read them, durations in milliseconds."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from gateway.http.errors import timestamp

Wall = Callable[[float], datetime]
"""A monotonic time of the pipeline as the time people read."""

_TIMES = frozenset({"at", "since", "ejected_until"})
_KEPT_SECONDS = frozenset({"window_s"})
_DIGITS = 6


def plain(value: Any, wall: Wall, name: str = "") -> Any:
    """A record, and all that is in it; `name` is the field it was read from, in the pipeline's words.

    Those words say what a number is: `…_at` and the like are monotonic times, `…_s` seconds, `per_s` a rate.
    """
    if isinstance(value, float):
        return _number(value, wall, name)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(plain(key, wall)): plain(item, wall, name) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, wall, name) for item in value]
    fields = _fields(value)
    return value if fields is None else {_key(field): plain(getattr(value, field), wall, field) for field in fields}


def _fields(value: Any) -> Iterable[str] | None:
    """The fields of a record; None of anything else."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else None


def _number(value: float, wall: Wall, name: str) -> Any:
    if name in _TIMES or name.endswith("_at"):
        return timestamp(wall(value))
    if _is_seconds(name):
        return round(value * 1000, 3)
    return round(value, _DIGITS)


def _key(name: str) -> str:
    if _is_seconds(name):
        name = name.removesuffix("_s") + "_ms"
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _is_seconds(name: str) -> bool:
    return name.endswith("_s") and name not in _KEPT_SECONDS and not name.endswith("per_s")
