"""Fields that take files, and one that answers with as much as is asked for."""

import asyncio

import strawberry
from starlette.datastructures import UploadFile
from strawberry.file_uploads import Upload

from schema.context import GatewayContext


@strawberry.input
class Album:
    title: str
    photos: list[Upload]


SEEN: list[UploadFile] = []


@strawberry.type
class Query:
    @strawberry.field
    def filler(self, size: int) -> str:
        """So many bytes."""
        return "x" * size

    @strawberry.field
    async def turns(self, info: strawberry.Info[GatewayContext, None]) -> int:
        """How often this has been asked in the same request."""
        asked = info.context.loaders.setdefault("turns", [])
        asked.append(None)
        await asyncio.sleep(0)
        return len(asked)


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def store(self, file: Upload | None = None) -> str:
        """What is known of a file."""
        if file is None:
            return "nothing"
        assert isinstance(file, UploadFile)
        SEEN.append(file)
        return f"{file.filename} {file.content_type} {len(await file.read())}"

    @strawberry.mutation
    async def album(self, album: Album) -> list[str]:
        """What is in the files of an album."""
        photos = [photo for photo in album.photos if isinstance(photo, UploadFile)]
        SEEN.extend(photos)
        return [f"{album.title}: {(await photo.read())[:10].decode()}" for photo in photos]
