"""Every set of the corpus gives the verdict written beside it."""

import pytest
from graphql import build_schema, validate_schema

from gateway.federation.composition import CODES, compose
from tests.federation.composition.corpus import SubgraphSet, load_corpus

_CORPUS = load_corpus()


@pytest.mark.parametrize("subgraph_set", _CORPUS, ids=lambda each: each.id)
def test_a_set_composes_or_fails_with_its_codes(subgraph_set: SubgraphSet) -> None:
    result = compose(subgraph_set.subgraphs)
    assert {error.code for error in result.errors} == subgraph_set.codes, "\n".join(map(str, result.errors))
    assert result.is_success == (not subgraph_set.codes)
    if result.supergraph_sdl is not None:
        assert validate_schema(build_schema(result.supergraph_sdl)) == []


@pytest.mark.parametrize("subgraph_set", [each for each in _CORPUS if each.codes], ids=lambda each: each.id)
def test_an_error_says_where_and_what_to_do(subgraph_set: SubgraphSet) -> None:
    names = {each.name for each in subgraph_set.subgraphs}
    for error in compose(subgraph_set.subgraphs).errors:
        assert error.message
        assert error.hint
        assert set(error.subgraphs) <= names


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len({each.id for each in _CORPUS}) == len(_CORPUS) >= 60


def test_the_corpus_uses_only_known_codes() -> None:
    assert {code for each in _CORPUS for code in each.codes} <= CODES.keys()
