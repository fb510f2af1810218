"""gateway.yaml as data: environment variables filled in, and a line for every path."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the configuration: where, what was found or expected, and what to do."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{dotted(self.path)}: {self.message}"


@dataclass(slots=True)
class Source:
    """What a file says.

    Attributes:
        data: mappings, lists and scalars.
        lines: the line of each path, counted from 1.
        findings: what was wrong with the file itself.
        expanded: paths whose values the environment had a part in; they may be secrets.
    """

    data: object
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    expanded: set[Path] = field(default_factory=set)

    def line(self, path: Path) -> int | None:
        """The line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def dotted(path: Path) -> str:
    """A path as people write it: `services.crm.forward[2]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the file"


def read(text: str, environment: Mapping[str, str]) -> Source:
    """Parse YAML, expanding `${NAME}` and `${NAME:-default}` in its values; `$${` stands for `${`.

    An expanded plain scalar is typed as if it had been written out, so `port: ${PORT:-4000}` is a number. What an
    expansion brings in is a scalar always, never structure.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        message = f"not YAML: a character that it does not allow: {error.reason}"
        return Source({}, findings=[Finding((), message, text.count("\n", 0, error.position) + 1)])
    try:
        node = loader.get_single_node()
        if node is None:
            return Source({})
        source = Source(None)
        for path, at in _walk(node, (), source):
            if isinstance(at, yaml.ScalarNode) and "${" in at.value:
                _expand(loader, at, path, source, environment)
        source.data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else None
        return Source({}, findings=[Finding((), f"not YAML: {error.problem or error.context}", line)])
    except ValueError as error:  # a scalar that is not what its tag says
        return Source({}, findings=[Finding((), f"not YAML: {error}")])
    except RecursionError:
        return Source({}, findings=[Finding((), "nested without end; remove the alias that names what it stands in")])
    finally:
        loader.dispose()
    return source


class _Loader(yaml.SafeLoader):
    """Reads dates as text: no value of gateway.yaml is one, and a date that does not exist would be an exception."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _walk(node: yaml.Node, path: Path, source: Source) -> Iterator[tuple[Path, yaml.Node]]:
    source.lines[path] = node.start_mark.line + 1
    yield path, node
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            here = (*path, str(key.value))
            if key.value in seen:
                source.findings.append(Finding(here, "given twice; keep one", key.start_mark.line + 1))
            seen.add(key.value)
            yield from _walk(value, here, source)
            source.lines[here] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*path, index), source)


def _expand(
    loader: yaml.SafeLoader, node: yaml.ScalarNode, path: Path, source: Source, environment: Mapping[str, str]
) -> None:
    def fill(match: re.Match[str]) -> str:
        literal, name, default = match.groups()
        if literal:
            return "${"
        value = environment.get(name)
        if value is None or (value == "" and default is not None):
            value = default
        if value is None:
            message = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            source.findings.append(Finding(path, message, node.start_mark.line + 1))
            return ""
        source.expanded.add(path)
        return value

    node.value = _VARIABLE.sub(fill, node.value)
    if node.style is None:
        node.tag = loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
