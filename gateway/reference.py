"""The reference pages, told from the code they describe: for people, and (a JSON Schema) for editors."""

import ast
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from clients.errors import ServerFailed, ServiceUnavailable, UpstreamError, upstream_error_types
from gateway.auth import SecretFile
from gateway.config import Config
from gateway.errors import EXECUTION_CODES
from gateway.http.errors import request_error_types
from gateway.ops import errors as _ops_errors  # noqa: F401 - its types stand in the table too
from gateway.telemetry.metrics import METRICS, PROCESS_METRICS

_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list",
    tuple: "list",
    dict: "mapping",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of gateway.yaml, with a description for every key."""
    schema = msgspec.json.schema(Config)
    structs = {kind.__name__: kind for kind, _ in _structs(Config)}
    for name, definition in schema["$defs"].items():
        if (kind := structs.get(name)) is None:
            continue  # an enumeration
        keys = definition.get("properties", {})
        docs = _field_docs(kind)
        for field in msgspec.structs.fields(kind):
            keys[field.encode_name]["description"] = docs.get(field.name, "")
        if kind.__struct_config__.tag_field is not None:
            keys[kind.__struct_config__.tag_field]["description"] = (inspect.getdoc(kind) or "").splitlines()[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gateway.yaml", **schema}


def markdown() -> str:
    """The reference page of gateway.yaml."""
    lines = [
        "# gateway.yaml",
        "",
        "Generated from the configuration's own types: `make reference`. Values may hold `${NAME}` and",
        "`${NAME:-default}`; `$${` stands for `${`. Inside `{ … }` such a value wants quotes. Unknown keys are",
        "refused.",
        "`gateway check` validates a file, and `gateway config-schema` prints a JSON Schema for editors.",
    ]
    for kind, path in _structs(Config):
        if kind is SecretFile:
            continue  # it stands wherever a secret does, and is explained there
        docs = _field_docs(kind)
        summary = (inspect.getdoc(kind) or "").splitlines()[0]
        tag = kind.__struct_config__.tag
        heading = f"{path or 'The file'} (type: {tag})" if tag else path or "The file"
        lines += ["", f"## {heading}", "", summary, "", "| key | type | meaning |", "|---|---|---|"]
        for field in msgspec.structs.fields(kind):
            lines.append(f"| `{field.encode_name}` | {_type_name(field.type)} | {docs.get(field.name, '')} |")
    return "\n".join(lines) + "\n"


def _structs(kind: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """A Struct and those below it, with their paths, depth first."""
    yield kind, path
    for field in msgspec.structs.fields(kind):
        here = f"{path}.{field.encode_name}".removeprefix(".")
        arguments = typing.get_args(field.type)
        if typing.get_origin(field.type) is dict:
            for below in (arguments[1], *typing.get_args(arguments[1])):
                if _is_struct(below):
                    yield from _structs(below, f"{here}.<name>")
        else:
            for below in (field.type, *arguments, *(inner for each in arguments for inner in typing.get_args(each))):
                if _is_struct(below):
                    yield from _structs(below, here)


def _field_docs(kind: Any) -> dict[str, str]:
    """The strings under a class's fields, its bases' included; a Struct's own words where a field has none."""
    found: dict[str, str] = {}
    for field in msgspec.structs.fields(kind):
        for below in (field.type, *typing.get_args(field.type)):
            if _is_struct(below):
                found[field.name] = (inspect.getdoc(below) or "").splitlines()[0]
    for base in reversed(kind.__mro__):
        if not _is_struct(base) or base is msgspec.Struct:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for statement, doc in itertools.pairwise(statements):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(doc, ast.Expr)
                and isinstance(doc.value, ast.Constant)
            ):
                found[statement.target.id] = " ".join(str(doc.value.value).split())
    return found


def _type_name(kind: Any) -> str:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin not in _NAMES and arguments:
        return " or ".join(dict.fromkeys(_type_name(a) for a in arguments if a is not type(None)))
    if kind is SecretFile:
        return "`{ file: … }`"
    return "mapping" if _is_struct(kind) else _NAMES[origin or kind]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def errors_markdown() -> str:
    """The reference page of error codes."""
    lines = [
        "# Errors",
        "",
        "Generated from the error classes: `make reference`. Every error of an answer has `message`, and `extensions`",
        "with `code`, `category`, `requestId` and `timestamp`; where it applies also `path`, `locations`, `service`,",
        "`upstreamCode` (what the upstream called it), `retryAfter` in seconds, and `causes` (of each way tried).",
        "",
        "## Refused before anything is executed",
        "",
        "The status is that of `application/graphql-response+json`; `application/json` gives 200 where it may.",
        "",
        "| code | status | category | meaning |",
        "|---|---|---|---|",
    ]
    lines += sorted(f"| `{e.code}` | {e.status} | {e.category} | {_first_line(e)} |" for e in request_error_types())
    lines += [
        "",
        "## Of upstreams",
        "",
        "*counts*: the circuit breaker counts it as a failure. *retried*: another attempt is made. *falls back*: the",
        "next protocol, or another service, is asked. *stale*: the last good answer, or a default, may be served",
        "instead.",
        "",
        "| code | category | counts | retried | falls back | stale | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += sorted(_upstream_row(e) for e in upstream_error_types())
    lines += ["", "## Of execution", "", "| code | category | meaning |", "|---|---|---|"]
    lines += [f"| `{code}` | {category} | {meaning} |" for code, category, meaning in EXECUTION_CODES]
    return "\n".join(lines) + "\n"


def _upstream_row(kind: type[UpstreamError]) -> str:
    transient = "5xx but 501" if kind is ServerFailed else _yes(kind.transient)
    stale = "as its causes" if kind is ServiceUnavailable else _yes(kind.allows_stale)
    return (
        f"| `{kind.code}` | {kind.category} | {_yes(kind.counts_as_failure)} | {transient} | {_yes(kind.falls_back)} "
        f"| {stale} | {_first_line(kind)} |"
    )


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def metrics_markdown() -> str:
    """The reference page of metrics."""
    lines = [
        "# Metrics",
        "",
        "Generated from the table they are made of: `make reference`. `/metrics` gives them to Prometheus as text, or",
        "as OpenMetrics. With several workers each value has a label `worker` as well. A histogram is three series:",
        "`…_bucket` (label `le`), `…_sum` and `…_count`.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in METRICS
    ]
    lines += ["", "Of the process:", "", "| metric | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in PROCESS_METRICS.items()]
    return "\n".join(lines) + "\n"


def write(folder: Any) -> None:
    """Write the generated pages into `folder`."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The generated pages by file name."""
    schema = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode()
    return {
        "configuration.md": markdown(),
        "errors.md": errors_markdown(),
        "gateway.schema.json": schema + "\n",
        "metrics.md": metrics_markdown(),
    }


if __name__ == "__main__":
    from pathlib import Path

    write(Path(__file__).parents[1] / "docs" / "reference")
