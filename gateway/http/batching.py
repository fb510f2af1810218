"""Several operations in one request, as a JSON array (GraphQL over HTTP, appendix Request Batching)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from gateway.bodies import BatchingConfig
from gateway.http.errors import LimitExceeded, MalformedRequest

_NONE = msgspec.Raw()

Written: TypeAlias = tuple[bytes, Mapping[str, str]]
"""An answer as JSON, and the headers that go with it."""


class Batching:
    """Reads arrays of requests. The whole of it is refused if it is no such array; otherwise each is on its own."""

    def __init__(self, config: BatchingConfig) -> None:
        self._most = config.max_operations
        # A Struct stops at the first entry too many; a list is read to its end before its length is looked at.
        fields = [(f"part_{index}", msgspec.Raw, _NONE) for index in range(config.max_operations)]
        batch = msgspec.defstruct("Batch", fields, array_like=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(batch)

    def parts(self, method: str, body: bytes) -> list[bytes] | None:
        """The requests of an array, not read yet; None for any other request.

        Raises:
            MalformedRequest: not JSON, empty, or of something else than objects.
            LimitExceeded: more than may be.
        """
        if body[:1] == b"{" or method != "POST" or body.lstrip()[:1] != b"[":
            return None
        try:
            batch = self._decoder.decode(body)
        except RecursionError as error:
            raise LimitExceeded("The body is nested too deeply.") from error
        except msgspec.ValidationError as error:
            message = f"The batch has more than {self._most} requests; max_operations allows {self._most}."
            raise LimitExceeded(errors=[{"message": message, "extensions": {"limit": "max_operations"}}]) from error
        except msgspec.DecodeError as error:
            raise MalformedRequest(f"The body is not JSON: {error}.") from error
        parts = [bytes(part) for part in msgspec.structs.astuple(batch) if part is not _NONE]
        if not parts:
            raise MalformedRequest("The batch is empty: it must have a request at least.")
        for index, part in enumerate(parts):
            if not part.startswith(b"{"):
                raise MalformedRequest(f"Entry {index} of the batch must be a JSON object.")
        return parts


async def answered(parts: Sequence[bytes], answer: Callable[[bytes], Awaitable[Written]]) -> Written:
    """The array of the answers, in the order of the requests; all are answered side by side.

    `answer` raises nothing but a cancellation, and each runs in a task of its own. The headers are those that all have.
    """

    async def one(part: bytes) -> Written:
        return await answer(part)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(part)) for part in parts]
    written = [task.result() for task in running]
    first, *others = (headers for _, headers in written)
    shared = {name: value for name, value in first.items() if all(each.get(name) == value for each in others)}
    return b"[" + b",".join(body for body, _ in written) + b"]", shared
