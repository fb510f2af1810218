"""The tutorial, followed to the letter; only its ports and folder are others."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, gateway, running

TUTORIAL = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)


def ageless(extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """The notes of an answer, without what differs from run to run."""
    return [{name: value for name, value in note.items() if name != "ageMs"} for note in extensions["upstreams"]]


def test_it_works_as_written(tmp_path: Path) -> None:
    upstream, port = free_port(), free_port()
    books, library = blocks("python")
    (config,) = blocks("yaml")
    expected, notes = blocks("json")
    (tmp_path / "books.py").write_text(books)
    (tmp_path / "library.py").write_text(library)
    file = tmp_path / "gateway.yaml"
    file.write_text(config.replace("4301", str(upstream)))
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}

    checked = gateway("check", "--config", str(file), environment=environment)
    assert checked.stdout == f"{file}: valid; 1 service, 2 operations\n"
    assert "/tmp/tutorial/gateway.yaml: valid; 1 service, 2 operations" in TUTORIAL

    def ask() -> dict[str, Any]:
        body = {"query": "{ books { title author { name } } }"}
        answer: dict[str, Any] = httpx.post(f"http://127.0.0.1:{port}/graphql", json=body, trust_env=False).json()
        return answer

    serve = [*GATEWAY, "serve", "--config", str(file), "--port", str(port)]
    uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "books:app", "--port", str(upstream)]
    with running(serve, f"http://127.0.0.1:{port}/health/ready", environment=environment):
        with running(uvicorn, f"http://127.0.0.1:{upstream}/books") as process:
            assert ask() == json.loads(expected)
            process.terminate()
            said = process.communicate(timeout=30)[0]
        assert re.findall(r"asked for.*", said) == ["asked for ['1', '2', '3']"]
        stale = ask()
        assert stale["data"] == json.loads(expected)["data"]
        assert ageless(stale["extensions"]) == ageless(json.loads(f"{{{notes}}}")["extensions"])
        assert [error["path"] for error in stale["errors"]] == [["books", 3, "author"]]
