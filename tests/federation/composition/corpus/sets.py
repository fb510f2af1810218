"""The corpus format: one file a feature, ``.graphql`` with comments that begin sets and subgraphs.

# === name of the set: ok                  or the codes it must fail with, separated by spaces
# --- subgraph-name fed2.3                 links federation v2.3 and imports all its directives; fed1 links nothing
type Query { ... }
"""

import re
from dataclasses import dataclass
from pathlib import Path

from gateway.federation.composition import Subgraph
from gateway.federation.composition.specs import FEDERATION

_SET = re.compile(r"^# === (?P<name>.+): (?P<expected>[A-Z_0-9 ]+|ok)$")
_SUBGRAPH = re.compile(r"^# --- (?P<name>\S+)( fed(?P<major>\d)(\.(?P<minor>\d+))?)?$")


@dataclass(frozen=True, slots=True)
class SubgraphSet:
    """Subgraphs and the codes composing them must give; no codes means that it must succeed."""

    feature: str
    name: str
    subgraphs: tuple[Subgraph, ...]
    codes: frozenset[str]

    @property
    def id(self) -> str:
        """A name that is unique in the corpus."""
        return f"{self.feature}: {self.name}"


def load_corpus() -> list[SubgraphSet]:
    """Every set, by file name and in file order."""
    return [each for path in sorted(Path(__file__).parent.glob("*.graphql")) for each in _load(path)]


def _load(path: Path) -> list[SubgraphSet]:
    sets: list[SubgraphSet] = []
    heading: re.Match[str] | None = None
    subgraphs: list[tuple[str, list[str]]] = []

    def close() -> None:
        if heading is not None:
            codes = frozenset() if heading["expected"] == "ok" else frozenset(heading["expected"].split())
            parts = tuple(Subgraph(name, f"http://{name}", "\n".join(lines)) for name, lines in subgraphs)
            sets.append(SubgraphSet(path.stem, heading["name"], parts, codes))

    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _SET.match(line):
            close()
            heading, subgraphs = match, []
        elif match := _SUBGRAPH.match(line):
            subgraphs.append((match["name"], [_link(match["major"], match["minor"])]))
        elif subgraphs:
            subgraphs[-1][1].append(line)
    close()
    return sets


def _link(major: str | None, minor: str | None) -> str:
    if major != "2":
        return ""
    version = (2, int(minor or 0))
    names = [f'"@{name}"' for name, definitions in FEDERATION.items() if definitions[0].since <= version]
    return (
        f'extend schema @link(url: "https://specs.apollo.dev/federation/v2.{version[1]}", import: [{", ".join(names)}])'
    )
