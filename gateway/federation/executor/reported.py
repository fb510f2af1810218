"""Errors of subgraphs as errors of the response: at the client's paths, saying which subgraph they came from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.federation.errors import FetchFailed
from gateway.federation.executor.merging import Trail, written_out

MALFORMED = "SUBREQUEST_MALFORMED_RESPONSE"
_DEFAULT_CODE = "DOWNSTREAM_SERVICE_ERROR"

ErrorEntry = dict[str, Any]


class Reporter:
    """Collects the errors of one response.

    Args:
        internal_keys: keys of the planner's own and the schema names that stand for them in paths.
    """

    def __init__(self, internal_keys: Mapping[str, str]) -> None:
        self.errors: list[ErrorEntry] = []
        self._internal_keys = internal_keys

    def path(self, segments: Iterable[str | int]) -> list[str | int]:
        """A path with the client's keys."""
        return [self._key(each) if isinstance(each, str) else each for each in segments]

    def _key(self, key: str) -> str:
        if key.startswith("_u_"):
            return key[2:]
        return self._internal_keys.get(key, key)

    def failed(self, failure: FetchFailed, path: Sequence[str | int]) -> None:
        """A request failed as a whole."""
        wait = {} if failure.retry_after_s is None else {"retryAfter": failure.retry_after_s}
        self.add(failure.message, path, failure.service, {"code": failure.code, **wait})

    def malformed(self, subgraph: str, problem: str, path: Sequence[str | int]) -> None:
        """Part of an answer cannot be used."""
        self.add(f"The subgraph {subgraph!r} answered out of shape: {problem}.", path, subgraph, {"code": MALFORMED})

    def add(
        self, message: str, path: Sequence[str | int], subgraph: str, extensions: Mapping[str, Any] | None = None
    ) -> None:
        """Add one entry. ``locations`` of subgraphs mean nothing to the client and are left out."""
        entry: ErrorEntry = {"message": message}
        if path:
            entry["path"] = self.path(path)
        entry["extensions"] = {"code": _DEFAULT_CODE, **(extensions or {}), "serviceName": subgraph}
        self.errors.append(entry)

    def received(
        self,
        subgraph: str,
        errors: object,
        default: Sequence[str | int],
        occurrences: Mapping[str, Sequence[Sequence[Trail]]] | None = None,
        prefixes: Sequence[Sequence[str | int]] = ((),),
    ) -> None:
        """Take over the errors of an answer.

        Args:
            subgraph: that answered.
            errors: as received.
            default: path of those that have none.
            occurrences: for entities, by response key and index: the objects each answer is for. An error becomes
                one error for each of them.
            prefixes: for root fields, what goes before the path; one error for each.
        """
        if errors is None:
            return
        if not isinstance(errors, list | tuple):
            self.malformed(subgraph, "errors is not a list", default)
            return
        for error in errors:
            message = error.get("message") if isinstance(error, dict) else None
            if not isinstance(message, str):
                self.malformed(subgraph, "an entry of errors has no message", default)
                continue
            path = error.get("path")
            extensions = error.get("extensions")
            known = extensions if isinstance(extensions, dict) else None
            for place in _places(path if isinstance(path, list | tuple) else (), default, occurrences, prefixes):
                self.add(message, place, subgraph, known)


def _places(
    path: Sequence[Any],
    default: Sequence[str | int],
    occurrences: Mapping[str, Sequence[Sequence[Trail]]] | None,
    prefixes: Sequence[Sequence[str | int]],
) -> list[list[str | int]]:
    segments = [each for each in path if isinstance(each, str | int)]
    if occurrences is None:
        return [[*prefix, *segments] for prefix in prefixes] if segments else [list(default)]
    trails = occurrences.get(str(segments[0])) if segments else None
    index = segments[1] if len(segments) > 1 else None
    if trails is None or not isinstance(index, int) or not 0 <= index < len(trails):
        return [list(default)]
    return [[*written_out(trail), *segments[2:]] for trail in trails[index]]
