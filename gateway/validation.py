"""Checks data against msgspec types and reports everything that is wrong, where msgspec would stop at the first."""

import difflib
import types
import typing
from typing import Any

import msgspec

from gateway.yaml_source import Finding, Path


def check(value: Any, kind: Any, path: Path = ()) -> list[Finding]:
    """Everything in `value` that is not as `kind` wants it; empty when msgspec.convert would succeed.

    Args:
        value: mappings, lists and scalars.
        kind: a msgspec Struct, a dict, list or optional of such, or any type msgspec knows.
        path: where `value` stands.
    """
    kind = _unwrapped(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if value is not None and origin in {typing.Union, types.UnionType}:
        structs = [a for a in arguments if _is_struct(_unwrapped(a))]
        if len(structs) == 1 and isinstance(value, dict):
            kind = structs[0]
    if _is_struct(kind) and isinstance(value, dict):
        return _check_struct(value, kind, path)
    if origin is dict and isinstance(value, dict):
        return [finding for name, item in value.items() for finding in check(item, arguments[1], (*path, str(name)))]
    if origin in {list, tuple} and isinstance(value, list):
        return [finding for i, item in enumerate(value) for finding in check(item, arguments[0], (*path, i))]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error).split(" - at ")[0]
        return [Finding(path, f"{message[0].lower()}{message[1:]} (found: {_shown(value)})")]
    return []


def _check_struct(value: dict[Any, Any], kind: Any, path: Path) -> list[Finding]:
    findings = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, item in value.items():
        if name in fields:
            findings += check(item, fields[name].type, (*path, name))
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
