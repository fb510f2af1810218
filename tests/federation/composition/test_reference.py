"""The same corpus through @apollo/composition: same verdict, equivalent supergraph."""

import json
import subprocess
from pathlib import Path
from typing import TypedDict

import pytest

from gateway.federation.composition import compose
from tests.federation.composition.corpus import load_corpus
from tests.federation.composition.equivalence import differences
from tests.testkit.node import node_with_packages

_NODE_DIRECTORY = Path(__file__).parent / "node"
_COMPOSE_TIMEOUT_S = 120


class _Outcome(TypedDict, total=False):
    sdl: str
    codes: list[str]


@pytest.fixture(scope="module")
def reference() -> dict[str, _Outcome]:
    """What the reference composition makes of each set, from one Node process for the entire corpus."""
    node = node_with_packages(_NODE_DIRECTORY)
    sets = [
        {
            "id": each.id,
            "subgraphs": [{"name": one.name, "url": one.url, "sdl": one.sdl} for one in each.subgraphs],
        }
        for each in load_corpus()
    ]
    ran = subprocess.run(
        [node, "compose.js"],
        cwd=_NODE_DIRECTORY,
        input=json.dumps(sets),
        capture_output=True,
        text=True,
        timeout=_COMPOSE_TIMEOUT_S,
        check=True,
    )
    outcomes: dict[str, _Outcome] = json.loads(ran.stdout)
    return outcomes


@pytest.mark.node
def test_the_reference_composition_agrees_on_the_corpus(reference: dict[str, _Outcome]) -> None:
    disagreements: list[str] = []
    for each in load_corpus():
        ours, theirs = compose(each.subgraphs), reference[each.id]
        if ours.supergraph_sdl is not None and "sdl" in theirs:
            disagreements += [f"{each.id}: {found}" for found in differences(ours.supergraph_sdl, theirs["sdl"])]
        elif ours.supergraph_sdl is not None or "sdl" in theirs:
            disagreements.append(f"{each.id}: ours {[str(error) for error in ours.errors]}, theirs {theirs}")
        elif not {error.code for error in ours.errors} <= set(theirs["codes"]):
            # It may add codes that follow from the first; ours must never be ones it does not know of.
            disagreements.append(f"{each.id}: ours {sorted(each.codes)}, theirs {sorted(set(theirs['codes']))}")
    assert disagreements == []
