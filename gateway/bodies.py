"""The keys of `server` that say which bodies are read and written beside one JSON object."""

from typing import Annotated

import msgspec

from clients.policy import PositiveInt
from gateway.yaml_source import Finding


class BatchingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several operations in one request, as a JSON array."""

    max_operations: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    """Operations in one request; more are refused with 400. Default 10."""


class CompressionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Answers in gzip for clients that ask for it."""

    min_bytes: PositiveInt = 1_000
    """Smaller answers are sent as they are. Default 1 kB."""


class UploadsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Files in a request (multipart/form-data), where the schema has the scalar Upload."""

    max_files: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    """Files in one request; more are refused with 413. Default 10."""
    max_file_bytes: PositiveInt = 10_000_000
    """Largest file; more is refused with 413. Default 10 MB."""
    max_receiving: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Requests with files at once; more are refused with 503, for their files take disk. Default 20."""


def batching_findings(batching: BatchingConfig | None, max_in_flight: int | None) -> list[Finding]:
    """What contradicts the rest of `server`."""
    if batching is None or max_in_flight is None or batching.max_operations <= max_in_flight:
        return []
    message = f"is more than server.max_in_flight ({max_in_flight}) ever lets in; lower it"
    return [Finding(("server", "batching", "max_operations"), message)]
