"""The generated pages are those in docs/reference, and say something about every key."""

from pathlib import Path

import pytest

from gateway import reference

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", reference.pages())
def test_the_page_in_the_docs_is_the_generated_one(name: str) -> None:
    assert (FOLDER / name).read_text() == reference.pages()[name], "run: make reference"


def test_every_key_is_explained() -> None:
    schema = reference.json_schema()
    unexplained = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, entry in definition.get("properties", {}).items()
        if "description" not in entry
    ]
    assert unexplained == []


def test_writing_the_pages_again_changes_nothing(tmp_path: Path) -> None:
    reference.write(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == reference.pages()
