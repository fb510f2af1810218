"""Files in a request: the GraphQL multipart request specification, within limits.

https://github.com/jaydenseric/graphql-multipart-request-spec. A form is what any page can make a browser send, so a
header that needs a CORS preflight is asked for. Files larger than a megabyte are on disk while the request lasts.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec
from graphql import GraphQLSchema
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from clients.timeouts import Timeouts
from gateway.bodies import UploadsConfig
from gateway.http.csrf import PREFLIGHT_HEADERS
from gateway.http.disconnect import ClientDisconnected
from gateway.http.errors import (
    BodyTimeout,
    CrossSiteRequest,
    MalformedRequest,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from gateway.http.params import GraphQLParams, ParamLimits, from_body

_FORM = "multipart/form-data"
_FIELDS = 2  # operations and map
_RETRY_AFTER_S = 1
_CLOSE = {"connection": "close"}  # what is left of the body is not read

_map_decoder = msgspec.json.Decoder(dict[str, list[str]])


def has_upload(schema: GraphQLSchema) -> bool:
    """Whether a schema has the scalar that stands for a file."""
    return "Upload" in schema.type_map


class Uploads:
    """Reads requests that bring files.

    Args:
        config: the limits.
        max_body_bytes: of what is not a file.
        body_timeouts: to receive a whole request.
        accepted: whether the schema, as it is now, has a place for files.
    """

    def __init__(
        self, config: UploadsConfig, *, max_body_bytes: int, body_timeouts: Timeouts, accepted: Callable[[], bool]
    ) -> None:
        self._config = config
        self._max_body_bytes = max_body_bytes
        self._max_bytes = max_body_bytes + config.max_files * config.max_file_bytes
        self._body_timeouts = body_timeouts
        self._accepted = accepted
        self._receiving = 0
        # What it says of malformed forms is for the client, who is told; in the log anybody could write as much.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)

    def asked(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is a form, and the schema has a place for files; `headers` by lower-case name."""
        content_type = headers.get("content-type")
        return (
            content_type is not None
            and content_type[:1] in "mM"  # first, for nearly all say application/json
            and content_type[: len(_FORM)].lower() == _FORM
            and method == "POST"
            and self._accepted()
        )

    @asynccontextmanager
    async def received(
        self, receive: Receive, headers: Mapping[str, str], limits: ParamLimits
    ) -> AsyncIterator[GraphQLParams]:
        """The parameters of a form, its files among the variables (`UploadFile`); closed when the block ends.

        Raises:
            CrossSiteRequest: a page of another site may have made a browser send it.
            UnsupportedMediaType: it is compressed.
            Overloaded: too many bring files just now.
            PayloadTooLarge: too many files, or too large.
            BodyTimeout: it did not arrive in time.
            MalformedRequest: it is not what the specification asks for.
            LimitExceeded: `variables` or `extensions` too large or nested too deeply.
        """
        if not any(headers.get(name) for name in PREFLIGHT_HEADERS):
            message = f"A request with files needs one of the headers {', '.join(PREFLIGHT_HEADERS)}."
            raise CrossSiteRequest(message)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("A request with files is not read compressed.")
        if self._receiving >= self._config.max_receiving:
            raise Overloaded(_RETRY_AFTER_S)
        self._receiving += 1
        try:
            form = await self._form(receive, headers)
            try:
                yield _params(form, limits)
            finally:
                await form.close()
        finally:
            self._receiving -= 1

    async def _form(self, receive: Receive, headers: Mapping[str, str]) -> FormData:
        try:
            async with aclosing(self._chunks(receive)) as chunks:
                parser = _Parser(Headers(headers), chunks, self._config, self._max_body_bytes)
                with self._body_timeouts.block():
                    return await parser.parse()
        except TimeoutError as error:
            raise BodyTimeout("The request did not arrive in time.", headers=_CLOSE) from error
        except MultiPartException as error:
            raise MalformedRequest(f"The form cannot be read: {error.message}") from error

    async def _chunks(self, receive: Receive) -> AsyncGenerator[bytes, None]:
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise PayloadTooLarge(f"The request is larger than {self._max_bytes} bytes.", headers=_CLOSE)
            yield chunk
            more = message.get("more_body", False)


class _Parser(MultiPartParser):
    """Starlette's, which bounds neither a file nor how many are too many for us. Closes its files when it raises."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], config: UploadsConfig, max_field_bytes: int
    ) -> None:
        super().__init__(headers, stream, max_files=float("inf"), max_fields=_FIELDS, max_part_size=max_field_bytes)
        self._config = config
        self._files = 0
        self._part_bytes = 0

    def on_part_begin(self) -> None:
        self._part_bytes = 0
        super().on_part_begin()

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        self._files += self._current_part.file is not None
        if self._files > self._config.max_files:
            most = self._config.max_files
            raise PayloadTooLarge(f"The request has more than {most} files; max_files allows {most}.", headers=_CLOSE)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._part_bytes += end - start
        if self._current_part.file is not None and self._part_bytes > self._config.max_file_bytes:
            message = f"The file {self._current_part.field_name!r} is larger than {self._config.max_file_bytes} bytes."
            raise PayloadTooLarge(message, headers=_CLOSE)
        super().on_part_data(data, start, end)


def _params(form: FormData, limits: ParamLimits) -> GraphQLParams:
    params = from_body(_field(form, "operations").encode(), limits)
    try:
        places = _map_decoder.decode(_field(form, "map"))
    except (msgspec.DecodeError, RecursionError) as error:
        message = 'The field "map" must be a JSON object: lists of places, such as "variables.file", by file.'
        raise MalformedRequest(message) from error
    for name, paths in places.items():
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise MalformedRequest(f'The field "map" names the file {name!r}, and there is none.')
        for path in paths:
            _put(params.variables, path, file)
    # Made anew: nothing of it but these says what the variables are now.
    return GraphQLParams(
        query=params.query,
        operation_name=params.operation_name,
        variables=params.variables,
        extensions=params.extensions,
        document_id=params.document_id,
    )


def _field(form: FormData, name: str) -> str:
    found = form.getlist(name)
    if len(found) != 1 or not isinstance(found[0], str):
        raise MalformedRequest(f'A request with files needs one field "{name}" that is not a file.')
    return found[0]


def _put(variables: Mapping[str, Any], path: str, file: UploadFile) -> None:
    """Put a file where a null is."""
    first, *steps = path.split(".")
    within: Any = variables
    key: Any = None
    if first == "variables" and steps:
        for step in steps:
            within = within if key is None else within[key]
            key = _key(within, step)
            if key is None:
                break
    if key is None or within[key] is not None:
        raise MalformedRequest(f'The field "map" says {path!r}: there is no null in "operations" to be replaced.')
    within[key] = file


def _key(within: Any, step: str) -> str | int | None:
    """A step of a path as a key of a list or an object that has it."""
    if isinstance(within, dict):
        return step if step in within else None
    if isinstance(within, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(within):
        return int(step[:9])
    return None
