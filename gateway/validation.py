"""Checks data against msgspec types and reports everything that is wrong, where msgspec would stop at the first."""

import difflib
import types
import typing
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from gateway.yaml_source import Finding, Path


def check(value: Any, kind: Any, path: Path = (), *, secret: Callable[[Path], bool] = lambda _: False) -> list[Finding]:
    """Everything in `value` that is not as `kind` wants it; empty when msgspec.convert would succeed.

    Args:
        value: mappings, lists and scalars.
        kind: a msgspec Struct, a dict, list or optional of such, or any type msgspec knows.
        path: where `value` stands.
        secret: whether the value at a path is to be kept out of messages.
    """
    kind = _unwrapped(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is not None and origin in {typing.Union, types.UnionType}:
        structs = [a for a in arguments if _is_struct(_unwrapped(a))]
        if len(structs) == 1 and isinstance(value, dict):
            kind = structs[0]
        elif structs and isinstance(value, dict):
            return _check_tagged(value, {s.__struct_config__.tag: s for s in structs}, path, secret)
    if _is_struct(kind) and isinstance(value, dict):
        return _check_struct(value, kind, path, secret)
    if origin is dict and isinstance(value, dict):
        return [
            finding
            for name, item in value.items()
            for finding in (
                *check(name, arguments[0], (*path, str(name))),
                *check(item, arguments[1], (*path, str(name)), secret=secret),
            )
        ]
    if origin in {list, tuple} and isinstance(value, list):
        return [
            finding for i, item in enumerate(value) for finding in check(item, arguments[0], (*path, i), secret=secret)
        ]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return [Finding(path, _wrong(value, kind, error, hide=secret(path)))]
    return []


def _wrong(value: Any, kind: Any, error: msgspec.ValidationError, *, hide: bool) -> str:
    found = "not shown, it may be a secret" if hide else _shown(value)
    choices = _choices(kind)
    if choices and isinstance(value, str):
        return f"expected one of {', '.join(choices)} (found: {found})"
    message = str(error).split(" - at ")[0]
    quote = "; put it in quotes" if "expected `str" in message.lower() and isinstance(value, int | float) else ""
    return f"{message[0].lower()}{message[1:]}{quote} (found: {found})"


def _choices(kind: Any) -> list[str]:
    """The words of a Literal, alone or in an optional."""
    if typing.get_origin(kind) is Literal:
        return [str(word) for word in typing.get_args(kind)]
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return [word for one in typing.get_args(kind) for word in _choices(one)]
    return []


def _check_tagged(
    value: dict[Any, Any], kinds: dict[Any, Any], path: Path, secret: Callable[[Path], bool]
) -> list[Finding]:
    """Against that of several Structs which its tag names."""
    field = next(iter(kinds.values())).__struct_config__.tag_field
    tags = ", ".join(str(tag) for tag in kinds)
    if field not in value:
        return [Finding(path, f"{field} is missing; add it: one of {tags}")]
    tag = value[field]
    if not isinstance(tag, str) or tag not in kinds:
        found = "not shown, it may be a secret" if secret((*path, field)) else _shown(tag)
        return [Finding((*path, field), f"expected one of {tags} (found: {found})")]
    return _check_struct({name: item for name, item in value.items() if name != field}, kinds[tag], path, secret)


def _check_struct(value: dict[Any, Any], kind: Any, path: Path, secret: Callable[[Path], bool]) -> list[Finding]:
    findings = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, item in value.items():
        if name in fields:
            findings += check(item, fields[name].type, (*path, name), secret=secret)
            continue
        near = difflib.get_close_matches(str(name), fields, n=1)
        known = f"did you mean {near[0]}?" if near else f"known: {', '.join(fields)}"
        findings.append(Finding((*path, str(name)), f"unknown key; {known}"))
    findings += [
        Finding(path, f"{name} is missing; add it")
        for name, field in fields.items()
        if field.required and name not in value
    ]
    return findings


def _unwrapped(kind: Any) -> Any:
    """Without Annotated, unless its constraints matter (they do on scalars)."""
    if typing.get_origin(kind) is typing.Annotated and _is_struct(typing.get_args(kind)[0]):
        return typing.get_args(kind)[0]
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _shown(value: Any) -> str:
    """A value as a message may show it: short, and nothing of long strings, which may be secrets."""
    text = repr(value)
    return text if len(text) <= 40 else f"{type(value).__name__} of {len(text)} characters"
