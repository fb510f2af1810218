"""Header rules of a service, `forward` and `response_headers`, as gateway.yaml has them."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from clients.headers import OF_ONE_CONNECTION, OF_ONE_MESSAGE, Relayed, Renamed
from gateway.auth import HeaderName
from gateway.yaml_source import Finding, Path

# What says how the whole answer may be kept is not one upstream's to say, and some are the gateway's own.
_OF_THE_WHOLE_ANSWER = frozenset({"age", "cache-control", "etag", "expires", "last-modified", "pragma", "vary"})
_OF_THE_GATEWAY = frozenset(
    {"date", "retry-after", "x-cache", "x-content-type-options", "x-correlation-id", "x-query-plan", "x-request-id"}
)


class ForwardRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request header that an upstream knows by another name, or that has a default."""

    from_: HeaderName = msgspec.field(name="from")
    """Its name in the client's request. `authorization`, `x-tenant-id` and `x-user-id`: the caller's, as checked."""
    to: HeaderName | None = None
    """Its name upstream. Default: the same."""
    default: str | None = None
    """Sent when the client sends none. Default: nothing is."""

    @property
    def name(self) -> str:
        """Its name upstream."""
        return self.to or self.from_


class ResponseHeaderRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A header of an upstream's answer that the client gets."""

    from_: HeaderName = msgspec.field(name="from")
    """Its name in the upstream's answer."""
    to: HeaderName | None = None
    """Its name in the gateway's answer. Default: the same."""
    several: Literal["first", "last", "append"] = "last"
    """Which counts when several upstream answers have it, in the order they come. Default last; cookies all count."""

    @property
    def name(self) -> str:
        """Its name in the gateway's answer."""
        return self.to or self.from_


def sent_names(forward: Sequence[str | ForwardRule]) -> tuple[str, ...]:
    """The names under which headers go upstream."""
    return tuple(rule if isinstance(rule, str) else rule.name for rule in forward)


def renamed(forward: Sequence[str | ForwardRule]) -> tuple[Renamed, ...]:
    """The rules that are more than a name, as the clients take them."""
    rules = [rule for rule in forward if isinstance(rule, ForwardRule)]
    return tuple(Renamed(rule.from_.lower(), rule.name.lower(), rule.default) for rule in rules)


def relayed(rules: Sequence[str | ResponseHeaderRule]) -> tuple[Relayed, ...]:
    """The rules for answers, as the clients take them."""
    return tuple(
        Relayed(rule.lower(), rule.lower())
        if isinstance(rule, str)
        else Relayed(rule.from_.lower(), rule.name.lower(), rule.several)
        for rule in rules
    )


def header_findings(
    path: Path, forward: Sequence[str | ForwardRule], answers: Sequence[str | ResponseHeaderRule]
) -> list[Finding]:
    """What is wrong with the header rules of the service at `path`."""
    findings = []
    for index, rule in enumerate(forward):
        where = (*path, "forward", index)
        names = {rule} if isinstance(rule, str) else {rule.from_, rule.name}
        findings += _never(where, names, "forwarded")
        if isinstance(rule, ForwardRule) and rule.default is not None and not _fit(rule.default):
            findings.append(Finding((*where, "default"), "a header cannot carry its special characters; remove them"))
    findings += _twice((*path, "forward"), sent_names(forward))
    for index, answer in enumerate(answers):
        where = (*path, "response_headers", index)
        names = {answer} if isinstance(answer, str) else {answer.from_, answer.name}
        findings += _never(where, names, "passed on")
        name = answer if isinstance(answer, str) else answer.name
        if name.lower() in _OF_THE_WHOLE_ANSWER:
            said = f"{name} speaks of one upstream's answer, and the client's is made of several; remove it"
            findings.append(Finding(where, said))
        elif name.lower() in _OF_THE_GATEWAY or name.lower().startswith("access-control-"):
            findings.append(Finding(where, f"{name} is the gateway's own; remove it, or give it another name (to:)"))
    return findings


def _never(where: Path, names: set[str], done: str) -> list[Finding]:
    found = []
    for name in sorted(names):
        if name.lower() in OF_ONE_CONNECTION:
            found.append(Finding(where, f"{name} belongs to one connection and is never {done}; remove it"))
        elif name.lower() in OF_ONE_MESSAGE:
            found.append(Finding(where, f"{name} belongs to one message and is never {done}; remove it"))
    return found


def _twice(where: Path, names: Sequence[str]) -> list[Finding]:
    counted = Counter(name.lower() for name in names)
    return [Finding(where, f"sends {name} twice; keep one") for name, count in counted.items() if count > 1]


def _fit(value: str) -> bool:
    return value.isascii() and (value.isprintable() or not value)
