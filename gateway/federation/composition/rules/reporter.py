"""Where the rules of one subgraph report to."""

from dataclasses import dataclass

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import Field, SubgraphSchema, TypeDef


@dataclass(frozen=True, slots=True)
class Reporter:
    """Adds the subgraph and the line to what a rule finds."""

    schema: SubgraphSchema
    problems: Problems

    def error(self, code: str, coordinate: str, message: str, line: int | None = None) -> None:
        """Record an error about a coordinate of this subgraph."""
        where = message if line is None else f"line {line}: {message}"
        self.problems.error(code, where, subgraphs=[self.schema.name], coordinates=[coordinate])


def at(parent: TypeDef, field: Field) -> str:
    """A field's schema coordinate."""
    return f"{parent.name}.{field.name}"
