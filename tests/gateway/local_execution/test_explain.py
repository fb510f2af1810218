"""`gateway explain` for the schema of the process alone."""

from pathlib import Path

import pytest

from gateway.cli import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text("imports: [benchmarks.codefirst.fields]\n")
    return file


def explain(config: Path, text: str, *more: str) -> int:
    query = config.with_name("query.graphql")
    query.write_text(text)
    return main(["explain", "--config", str(config), *more, str(query)])


def test_it_shows_what_an_operation_is_compiled_to(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "query ($more: Boolean!) { invoices { id customer @include(if: $more) { name } } }"
    assert explain(config, text, "--on", "more") == 0
    assert capsys.readouterr().out == (
        "compiled\n"
        "the root (Query)\n"
        "  invoices: [Invoice!]!, a resolver, an object at a time\n"
        "invoices (Invoice)\n"
        "  id: ID!, an attribute\n"
        "  customer: Customer, a batch, all objects at once\n"
        "invoices.customer (Customer)\n"
        "  name: String!, an attribute\n"
    )
    assert explain(config, text) == 0
    assert "customer" not in capsys.readouterr().out


def test_it_says_why_an_operation_is_not_compiled(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(config, "{ __schema { queryType { name } } }") == 0
    assert capsys.readouterr().out == "graphql-core: it asks for the schema itself\n"


def test_it_says_what_is_wrong_with_an_operation(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(config, "{\n  nothing }") == 1
    assert "query.graphql: line 2: Cannot query field 'nothing' on type 'Query'." in capsys.readouterr().err
    assert explain(config, "query A { __typename }", "--operation", "B") == 1
    assert "query.graphql: Unknown operation named 'B'." in capsys.readouterr().err
