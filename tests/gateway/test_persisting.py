"""The section `persisted_queries`."""

from pathlib import Path

import pytest

from gateway.config import ConfigError, load, parse


def test_automatic_queries_have_no_use_beside_an_enforced_list() -> None:
    text = "persisted_queries:\n  automatic: {}\n  safelist: { file: m.json, mode: enforce }\n"
    with pytest.raises(ConfigError, match=r"line 2: persisted_queries\.automatic: has no use"):
        parse(text, {})
    assert parse(text.replace("enforce", "log"), {}).persisted_queries.automatic is not None


def test_the_manifest_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("persisted_queries: { safelist: { file: m.json } }")
    safelist = load(tmp_path / "gateway.yaml").persisted_queries.safelist
    assert safelist is not None
    assert safelist.file == str(tmp_path / "m.json")
