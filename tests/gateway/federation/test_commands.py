"""serve, compose, plan and check with a supergraph, as people run them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml

from demo.products import products_schema
from gateway.cli import main
from gateway.cli.supergraph import require_supergraph
from gateway.config import Config, FederationConfig
from gateway.federation.source import SourceError
from gateway.federation.supergraph import parse_supergraph
from tests.testkit.federation import ScriptedSubgraph, supergraph_of
from tests.testkit.ports import free_port
from tests.testkit.processes import GATEWAY, gateway, running

JOIN_01 = """
schema @core(feature: "https://specs.apollo.dev/core/v0.1") @core(feature: "https://specs.apollo.dev/join/v0.1") {
  query: Query
}
type Query { a: Int }
"""
PRODUCTS = ScriptedSubgraph.of(products_schema()).sdl
PETS = 'type Query { pets: [String!] } type Product @key(fields: "upc") { upc: ID! pet: String }'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two subgraphs in files; nobody is asked."""
    (tmp_path / "products.graphql").write_text(PRODUCTS)
    (tmp_path / "pets.graphql").write_text(ScriptedSubgraph.made(PETS, {}).sdl)
    return configured(tmp_path)


def configured(folder: Path, federation: Any = None) -> Path:
    file = folder / "gateway.yaml"
    url = "http://127.0.0.1:9/graphql"
    services = {
        name: {"graphql": url, "subgraph": {"sdl": f"{name}.graphql"}, "retry": {"attempts": 1}}
        for name in ("products", "pets")
    }
    file.write_text(yaml.safe_dump({"federation": federation or {"local": None}, "services": services}))
    return file


@pytest.fixture
def supergraph(config: Path, tmp_path: Path) -> Path:
    file = tmp_path / "supergraph.graphql"
    assert main(["compose", "--config", str(config), "--output", str(file)]) == 0
    return file


@pytest.fixture
async def products() -> AsyncIterator[ScriptedSubgraph]:
    async with ScriptedSubgraph.of(products_schema()) as made:
        yield made


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_supergraph_alone_is_enough_to_serve(products: ScriptedSubgraph, tmp_path: Path, workers: str) -> None:
    file = tmp_path / "supergraph.graphql"
    file.write_text(supergraph_of({"products": products}))
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [*GATEWAY, "serve", "--supergraph", str(file), "--port", str(port), "--workers", workers]
    for process in _running(command, f"{url}/health/ready"):
        async with httpx.AsyncClient(trust_env=False) as http:
            answered = await http.post(f"{url}/graphql", json={"query": "{ __typename }"})
            assert answered.json() == {"data": {"__typename": "Query"}}
            answered = await http.post(f"{url}/graphql", json={"query": '{ product(upc: "p1") { name } }'})
            assert answered.json() == {"data": {"product": {"name": "Anchor"}}}
        assert process.poll() is None


def _running(command: list[str], url: str) -> Iterator[Any]:
    with running(command, url) as process:
        yield process


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "The supergraph is not valid GraphQL: Syntax Error"),
        ("", "The supergraph is not valid GraphQL: Syntax Error"),
        ("type Query { a: Int }", "This is not a supergraph"),
        (JOIN_01, "The supergraph uses join v0.1, which is not supported"),
    ],
)
@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["plan", "query.graphql"]])
def test_a_wrong_supergraph_ends_it_with_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, reason: str, command: list[str]
) -> None:
    file = tmp_path / "supergraph.graphql"
    if content is not None:
        file.write_text(content)
    assert main([command[0], "--supergraph", str(file), *command[1:]]) == 1
    said = capsys.readouterr().err
    assert reason in said
    assert "Traceback" not in said


def test_the_process_ends_with_1_too(tmp_path: Path) -> None:
    ended = gateway("serve", "--supergraph", str(tmp_path / "none"))
    assert (ended.returncode, ended.stderr) == (1, f"{tmp_path}/none: cannot be read: No such file or directory\n")


def test_a_subgraph_serves_no_supergraph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("federation: { as_subgraph: true }\n")
    assert main(["serve", "--config", str(file), "--supergraph", "x.graphql"]) == 1
    assert "federation.as_subgraph: is a subgraph itself" in capsys.readouterr().err


def test_compose_prints_or_writes_a_supergraph(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "supergraph.graphql"
    assert main(["compose", "--config", str(config), "--output", str(file)]) == 0
    assert capsys.readouterr().err == f"{file}: written, from the subgraphs of gateway.yaml\n"
    assert main(["compose", "--config", str(config)]) == 0
    assert capsys.readouterr().out == file.read_text() + "\n"
    assert {s.name for s in parse_supergraph(file.read_text()).subgraphs.values()} == {"products", "pets"}


def test_compose_says_everything_that_is_wrong(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pets.graphql").write_text("type Query { products: Int a: Nothing b: Nowhere }")
    assert main(["compose", "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert "Unknown type 'Nothing'" in said
    assert "Unknown type 'Nowhere'" in said


@pytest.mark.parametrize("text", ["mode: development\n", "federation: { as_subgraph: true }\n"])
def test_compose_without_subgraphs_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    assert main(["compose", "--config", str(file)]) == 1
    assert "federation: asks for no supergraph" in capsys.readouterr().err


def test_compose_to_a_place_that_is_none(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compose", "--config", str(config), "--output", "/nowhere/at/all"]) == 1
    assert capsys.readouterr().err == "/nowhere/at/all: cannot be written: No such file or directory\n"


def plan(supergraph: Path, text: str | bytes, *more: str, command: str = "plan") -> int:
    query = supergraph.parent / "query.graphql"
    query.write_bytes(text.encode() if isinstance(text, str) else text)
    return main([command, "--supergraph", str(supergraph), *more, str(query)])


def test_plan_prints_who_is_asked_for_what(supergraph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(supergraph, "{ products { name pet } }") == 0
    assert capsys.readouterr().out == (
        "1 products\n  products {\n    name upc\n  }\n2 pets after 1\n  products: Product(upc)\n    pet\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "query.graphql: line 1: Syntax Error: Expected Name, found <EOF>."),
        ("{\n  nothing\n}", "query.graphql: line 2: Cannot query field 'nothing' on type 'Query'."),
        ("query A { pets } query B { pets }", "query.graphql: The document has 2 operations"),
        (b"\xe9", "query.graphql: is not UTF-8 text"),
    ],
)
def test_plan_says_what_is_wrong_with_a_query(
    supergraph: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, reason: str
) -> None:
    capsys.readouterr()
    assert plan(supergraph, text) == 1
    assert reason in capsys.readouterr().err


def test_plan_of_one_of_several_operations(supergraph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(supergraph, "query A { pets } query B { product(upc: 1) { name } }", "--operation", "A") == 0
    assert capsys.readouterr().out.startswith("1 pets\n")


def test_explain_shows_what_an_operation_is_compiled_to(supergraph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "query ($more: Boolean!) { products { name pet @include(if: $more) } }"
    assert plan(supergraph, text, "--on", "more", command="explain") == 0
    assert capsys.readouterr().out.partition("\n\n")[2] == (
        "compiled\nthe root (Query)\n  products: [Product!]!, from 1\n"
        "products (Product)\n  name: String!, from 1\n  pet: String, from 2\n  upc, for requests only, from 1\n"
    )
    assert plan(supergraph, text, command="explain") == 0
    assert "pet: String" not in capsys.readouterr().out


def test_explain_says_why_an_operation_is_not_compiled(supergraph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(supergraph, '{ pets __type(name: "Query") { name } }', command="explain") == 0
    assert capsys.readouterr().out.endswith("\n\nplain executor: it asks for the schema itself\n")


def test_plan_of_a_file_that_is_missing(supergraph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["plan", "--supergraph", str(supergraph), "/nowhere"]) == 1
    assert capsys.readouterr().err == "/nowhere: cannot be read: No such file or directory\n"


def test_check_composes_what_is_in_files(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(config)]) == 0
    assert capsys.readouterr().out == (
        f"{config}: valid; 2 services, 0 operations\nsupergraph: valid; of pets, products\n"
    )
    (tmp_path / "pets.graphql").write_text("type Query {")
    assert main(["check", "--config", str(config)]) == 1
    assert "INVALID_GRAPHQL: [pets]" in capsys.readouterr().err


def test_check_asks_nobody_unless_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("federation: { supergraph: 'http://127.0.0.1:9/supergraph' }\n")
    assert main(["check", "--config", str(file)]) == 0
    assert main(["check", "--upstreams", "--config", str(file)]) == 1
    assert "http://127.0.0.1:9/supergraph: All connection attempts failed" in capsys.readouterr().err


def test_what_keeps_it_from_starting_is_said_before_a_socket_is_opened(tmp_path: Path) -> None:
    federation = FederationConfig(supergraph=str(tmp_path / "none"), local=None)
    with pytest.raises(SourceError):
        require_supergraph(Config(federation=federation))
    require_supergraph(Config())
    require_supergraph(Config(federation=FederationConfig(as_subgraph=True)))
    copy = tmp_path / "last.graphql"
    copy.write_text("whatever it is, it may be of use")
    require_supergraph(Config(federation=msgspec.structs.replace(federation, last_good=str(copy))))
