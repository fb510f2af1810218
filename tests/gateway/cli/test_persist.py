"""`gateway persist`, and that `gateway check` reads what it writes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.http.safelist import read_manifest

Files = Mapping[str, str]

SHARED: Files = {
    "health.graphql": "# of the start page\nquery Health { health { ...Status } }\nquery All { upstreams { name } }\n",
    "deep/down/fragments.gql": "fragment Status on Health { status ...Checks }\n",
    "deep/checks.graphql": "fragment Checks on Health { checks { name } }\nfragment Unused on Query { a }",
    "notes.txt": "not GraphQL",
}
HEALTH = """\
query Health {
  health {
    ...Status
  }
}

fragment Checks on Health {
  checks {
    name
  }
}

fragment Status on Health {
  status
  ...Checks
}"""


def folder(at: Path, files: Files) -> Path:
    root = at / "operations"
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_each_operation_has_the_fragments_it_needs_from_whichever_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["persist", str(folder(tmp_path, SHARED))]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest == {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [
            {
                "id": hashlib.sha256(body.encode()).hexdigest(),
                "name": name,
                "type": "query",
                "body": body,
            }
            for name, body in (("All", "query All {\n  upstreams {\n    name\n  }\n}"), ("Health", HEALTH))
        ],
    }


def test_the_manifest_is_the_same_each_time_fits_the_gateway_and_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operations = folder(tmp_path, SHARED)
    config, manifest = tmp_path / "gateway.yaml", tmp_path / "manifest.json"
    config.write_text("persisted_queries: { safelist: { file: manifest.json } }\n")
    written = []
    for _ in range(2):
        assert main(["persist", str(operations), "--out", str(manifest), "--config", str(config)]) == 0
        written.append(manifest.read_bytes())
    assert written[0] == written[1]
    assert capsys.readouterr().err.splitlines()[0] == f"{manifest}: written, 2 operations of {operations}"
    assert len(read_manifest(manifest).texts) == 2
    assert main(["check", "--config", str(config)]) == 0
    assert f"{manifest}: valid; 2 identifiers" in capsys.readouterr().out
    manifest.write_text("{}}")
    assert main(["check", "--config", str(config)]) == 1
    assert "the manifest cannot be used\n  is not JSON" in capsys.readouterr().err


def test_typenames_are_added_where_apollo_client_adds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operation = "query A { a { b { c } ... on B { __typename d } } __schema { __typename } ...F }"
    files = {"a.graphql": operation + "fragment F on Q { e }"}
    assert main(["persist", str(folder(tmp_path, files)), "--typename"]) == 0
    (persisted,) = json.loads(capsys.readouterr().out)["operations"]
    assert " ".join(persisted["body"].split()) == (
        "query A { a { b { c __typename } ... on B { __typename d } __typename } __schema { __typename } ...F } "
        "fragment F on Q { e __typename }"
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.txt": ""}, ["{root}: has no .graphql or .gql file"]),
        ({"a.gql": "fragment F on Q { a }"}, ["{root}: has no operation"]),
        ({"a.gql": "query A {\n  b(\n}"}, ["{root}/a.gql:3: Syntax Error: Expected Name, found"]),
        ({"a.gql": "\n\n{ a }"}, ["{root}/a.gql:3: the operation has no name; give it one"]),
        (
            {"a.gql": "query A { a }\ntype T { a: Int }"},
            ["{root}/a.gql:2: expected an operation or a fragment, found"],
        ),
        (
            {"a.gql": "query A { a }", "b.gql": "\nquery A { b }"},
            ["{root}/b.gql:2: the operation A is in {root}/a.gql:1 too; names must differ across files"],
        ),
        (
            {"a.gql": "fragment F on Q { a }", "b.gql": "query B { ...F }\nfragment F on Q { b }"},
            ["{root}/b.gql:2: the fragment F is in {root}/a.gql:1 too; names must differ across files"],
        ),
        (
            {"a.gql": "query A {\n  ...F\n}\nquery B { ...G ...G }\nfragment G on Q { ...H }"},
            ["{root}/a.gql:2: no file has the fragment F", "{root}/a.gql:5: no file has the fragment H"],
        ),
        ({"a.gql": "query A " + "{ a " * 5_000}, ["{root}/a.gql:"]),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Files, said: list[str]
) -> None:
    root = folder(tmp_path, files)
    assert main(["persist", str(root)]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    lines = found.err.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(text.format(root=root)) for line, text in zip(lines, said, strict=True))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"a.gql": "query A { ...F }", "f.gql": "fragment F on Query {\n  health { state }\n}"},
            "{root}/f.gql:2: Cannot query field 'state' on type 'Health'. ",
        ),
        ({"a.gql": "\nquery A { a: health { status } b: health { status } }"}, "{root}/a.gql:2: "),
    ],
)
def test_what_the_gateway_would_refuse_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: Files, said: str
) -> None:
    root = folder(tmp_path, files)
    (tmp_path / "gateway.yaml").write_text("limits: { max_aliases: 1 }\n")
    assert main(["persist", str(root), "--config", str(tmp_path / "gateway.yaml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said.format(root=root))


def test_a_supergraphs_api_is_what_operations_are_held_against(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users.graphql").write_text("type Query { me: String }")
    (tmp_path / "gateway.yaml").write_text(
        "federation: { local: null }\n"
        "services: { users: { graphql: 'http://127.0.0.1:1/', subgraph: { sdl: users.graphql } } }\n"
    )
    root = folder(tmp_path, {"a.gql": "query A { me }\nquery B { you }"})
    assert main(["persist", str(root), "--config", str(tmp_path / "gateway.yaml")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{root}/a.gql:2: Cannot query field 'you' on type 'Query'.")


def test_files_that_cannot_be_read_or_written_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder(tmp_path, {"a.gql": "query A { a }"})
    assert main(["persist", str(root), "--out", str(tmp_path / "none" / "m.json")]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
    (root / "b.gql").write_bytes(b"\xff")
    assert main(["persist", str(root)]) == 1
    assert f"{root / 'b.gql'}: is not UTF-8 text" in capsys.readouterr().err
