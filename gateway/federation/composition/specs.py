"""The specifications composition knows: their directives, since which version, and how they are defined.

Sources: the federation specification's directive reference, v2.0 to v2.14, and the pages of tag, inaccessible,
authenticated, requiresScopes, policy and cost on specs.apollo.dev. A name in braces is a type of the specification,
spelled in a document as its link imports it.
"""

from dataclasses import dataclass

LATEST = (2, 14)

_ALL_BUT_SCHEMA = (
    "FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT"
    " | INPUT_FIELD_DEFINITION"
)
_AUTH = "FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM"


@dataclass(frozen=True, slots=True)
class Definition:
    """How a directive is defined from one version on: what follows ``directive @name`` in SDL."""

    since: tuple[int, int]
    body: str


# Oldest first; the last whose `since` is not after the linked version applies.
FEDERATION: dict[str, tuple[Definition, ...]] = {
    "key": (
        Definition((1, 0), "(fields: {FieldSet}!) repeatable on OBJECT | INTERFACE"),
        Definition((2, 0), "(fields: {FieldSet}!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE"),
    ),
    "requires": (Definition((1, 0), "(fields: {FieldSet}!) on FIELD_DEFINITION"),),
    "provides": (Definition((1, 0), "(fields: {FieldSet}!) on FIELD_DEFINITION"),),
    "external": (Definition((1, 0), "(reason: String) on OBJECT | FIELD_DEFINITION"),),
    "extends": (Definition((1, 0), "on OBJECT | INTERFACE"),),
    "tag": (
        Definition((1, 0), f"(name: String!) repeatable on {_ALL_BUT_SCHEMA}"),
        Definition((2, 3), f"(name: String!) repeatable on {_ALL_BUT_SCHEMA} | SCHEMA"),
    ),
    "inaccessible": (Definition((2, 0), f"on {_ALL_BUT_SCHEMA}"),),
    "shareable": (
        Definition((2, 0), "on OBJECT | FIELD_DEFINITION"),
        Definition((2, 2), "repeatable on OBJECT | FIELD_DEFINITION"),
    ),
    "override": (
        Definition((2, 0), "(from: String!) on FIELD_DEFINITION"),
        Definition((2, 7), "(from: String!, label: String) on FIELD_DEFINITION"),
    ),
    "composeDirective": (Definition((2, 1), "(name: String) repeatable on SCHEMA"),),
    "interfaceObject": (Definition((2, 3), "on OBJECT"),),
    "authenticated": (Definition((2, 5), f"on {_AUTH}"),),
    "requiresScopes": (Definition((2, 5), f"(scopes: [[{{Scope}}!]!]!) on {_AUTH}"),),
    "policy": (Definition((2, 6), f"(policies: [[{{Policy}}!]!]!) on {_AUTH}"),),
    "context": (Definition((2, 8), "(name: String!) repeatable on INTERFACE | OBJECT | UNION"),),
    "fromContext": (Definition((2, 8), "(field: {ContextFieldValue}) on ARGUMENT_DEFINITION"),),
    "cost": (
        Definition(
            (2, 9),
            "(weight: Int!) on"
            " ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR",
        ),
    ),
    "listSize": (
        Definition(
            (2, 9),
            "(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!],"
            " requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION",
        ),
    ),
    "cacheTag": (Definition((2, 12), "(format: String!) repeatable on OBJECT | FIELD_DEFINITION"),),
}

SCALARS: dict[str, tuple[int, int]] = {
    "FieldSet": (1, 0),
    "Scope": (2, 5),
    "Policy": (2, 6),
    "ContextFieldValue": (2, 8),
}

# Federation 1 has these, always under their own names.
FED1_DIRECTIVES = ("key", "requires", "provides", "external", "extends", "tag")
FED1_FIELD_SET = "_FieldSet"

# What every subgraph server adds for the gateway's sake, and composition takes out again.
MACHINERY_TYPES = frozenset({"_Any", "_Entity", "_Service", "_FieldSet", "FieldSet"})
MACHINERY_FIELDS = frozenset({"_service", "_entities"})

BUILT_IN_DIRECTIVES = frozenset({"deprecated", "specifiedBy", "oneOf", "skip", "include", "defer", "stream"})

LINK_DEFINITION = "(url: String, as: String, for: {Purpose}, import: [{Import}], feature: String) repeatable on SCHEMA"


@dataclass(frozen=True, slots=True)
class Feature:
    """A specification whose directives survive into the supergraph, and how it is linked there."""

    version: str
    purpose: str | None
    directives: tuple[str, ...]
    scalars: tuple[str, ...] = ()

    def definitions(self, name: str) -> dict[str, str]:
        """Directive bodies as the supergraph defines them, scalars in the feature's namespace."""
        names = {scalar: f"{name}__{scalar}" for scalar in SCALARS}
        return {each: FEDERATION[each][-1].body.format(**names) for each in self.directives}


# By the name in its URL; the order is that of the links in a supergraph.
FEATURES: dict[str, Feature] = {
    "tag": Feature("v0.3", None, ("tag",)),
    "inaccessible": Feature("v0.2", "SECURITY", ("inaccessible",)),
    "authenticated": Feature("v0.1", "SECURITY", ("authenticated",)),
    "requiresScopes": Feature("v0.1", "SECURITY", ("requiresScopes",), ("Scope",)),
    "policy": Feature("v0.1", "SECURITY", ("policy",), ("Policy",)),
    "cost": Feature("v0.1", None, ("cost", "listSize")),
}


def definition(name: str, version: tuple[int, int]) -> str | None:
    """The body of a federation directive at a version; None when the version does not have it."""
    bodies = [each.body for each in FEDERATION.get(name, ()) if each.since <= version]
    if version < (2, 0) and name not in FED1_DIRECTIVES:
        return None
    return bodies[-1] if bodies else None


def since(name: str) -> tuple[int, int] | None:
    """The first version with this federation directive."""
    return FEDERATION[name][0].since if name in FEDERATION else None
