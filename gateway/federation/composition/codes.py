"""The codes composition reports, in one table: what each means and what to do about it.

The names are those of the Federation 2 error reference, so that documentation, dashboards and habits carry over.
``docs/reference/composition-errors.md`` is `reference_page()`; a test holds the two equal.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the reference: when it is reported, and the remedy an error carries unless it has a better one."""

    meaning: str
    remedy: str


CODES: dict[str, Code] = {
    "AUTH_REQUIREMENTS_APPLIED_ON_INTERFACE": Code(
        "An interface, or a field of one, carries an access control directive.",
        "Move the directive to the implementing object types and their fields.",
    ),
    "COST_APPLIED_TO_INTERFACE_FIELD": Code(
        "`@cost` is applied to a field of an interface.",
        "Apply it to the field in the types that implement the interface.",
    ),
    "DEFAULT_VALUE_USES_INACCESSIBLE": Code(
        "A default value that clients can see uses an inaccessible enum value or input field.",
        "Hide the element with the default as well, or choose a default that clients may see.",
    ),
    "DIRECTIVE_COMPOSITION_ERROR": Code(
        "`@composeDirective` names a directive that cannot be carried into the supergraph.",
        "Name a directive, with its `@`, that the subgraph imports with `@link` from a specification of your own.",
    ),
    "DIRECTIVE_DEFINITION_INVALID": Code(
        "A document defines one of federation's directives differently from its specification.",
        "Remove the definition: composition knows the directive.",
    ),
    "EMPTY_MERGED_ENUM_TYPE": Code(
        "An enum used as input has no value that all subgraphs define.",
        "Define at least one common value in every subgraph.",
    ),
    "EMPTY_MERGED_INPUT_TYPE": Code(
        "An input type has no field that all subgraphs define.",
        "Define at least one common field in every subgraph.",
    ),
    "ENUM_VALUE_MISMATCH": Code(
        "An enum used both as input and output has different values in different subgraphs.",
        "Define the value in all of them, or mark it `@inaccessible` until they all do.",
    ),
    "EXTENSION_WITH_NO_BASE": Code(
        "A type is extended in a subgraph and defined in none.",
        "Define the type in one subgraph: drop `extend` or `@extends` there.",
    ),
    "EXTERNAL_ARGUMENT_DEFAULT_MISMATCH": Code(
        "An external field declares another default value than the field it refers to.",
        "Give the argument of the external field the same default value.",
    ),
    "EXTERNAL_ARGUMENT_MISSING": Code(
        "An external field lacks an argument of the field it refers to.",
        "Declare the argument on the external field too.",
    ),
    "EXTERNAL_ARGUMENT_TYPE_MISMATCH": Code(
        "An argument of an external field has another type than in the field it refers to.",
        "Give the argument of the external field the same type.",
    ),
    "EXTERNAL_COLLISION_WITH_ANOTHER_DIRECTIVE": Code(
        "A field is both `@external` and `@provides`.",
        "Remove one of the two.",
    ),
    "EXTERNAL_MISSING_ON_BASE": Code(
        "Every subgraph that declares the field or type marks it `@external`.",
        "Remove `@external` where the field is resolved.",
    ),
    "EXTERNAL_ON_INTERFACE": Code(
        "A field of an interface is marked `@external`.",
        "Mark the field in the implementing types instead.",
    ),
    "EXTERNAL_TYPE_MISMATCH": Code(
        "An external field has a type that does not fit the field it refers to.",
        "Give the external field the type it has where it is resolved.",
    ),
    "EXTERNAL_UNUSED": Code(
        "A field is external and nothing in its subgraph uses it.",
        "Remove the field, or name it in `@key`, `@requires` or `@provides`.",
    ),
    "FIELD_ARGUMENT_DEFAULT_MISMATCH": Code(
        "An argument has different default values in different subgraphs.",
        "Use one default value everywhere.",
    ),
    "FIELD_ARGUMENT_TYPE_MISMATCH": Code(
        "An argument has types in different subgraphs that cannot be merged.",
        "Types may differ in nullability only.",
    ),
    "FIELD_TYPE_MISMATCH": Code(
        "A field has types in different subgraphs that cannot be merged.",
        "One of the types must accept all the others: a nullable type, an interface or a union.",
    ),
    "IMPLEMENTED_BY_INACCESSIBLE": Code(
        "A visible interface's field or argument is hidden in a visible type that implements it.",
        "Hide it in the interface too, or show it in the type.",
    ),
    "INPUT_FIELD_DEFAULT_MISMATCH": Code(
        "An input field has different default values in different subgraphs.",
        "Use one default value everywhere.",
    ),
    "INTERFACE_FIELD_NO_IMPLEM": Code(
        "A type lacks a field of an interface it implements, once all subgraphs are merged.",
        "Add the field to the type in a subgraph, so that every subgraph's view of the interface is met.",
    ),
    "INTERFACE_KEY_MISSING_IMPLEMENTATION_TYPE": Code(
        "A subgraph gives an interface a key without knowing all types that implement it.",
        "Define the missing types in the subgraph, or remove the key from its interface.",
    ),
    "INTERFACE_KEY_NOT_ON_IMPLEMENTATION": Code(
        "A key of an interface is not a key of a type that implements it.",
        "Add the same `@key` to the type.",
    ),
    "INTERFACE_OBJECT_USAGE_ERROR": Code(
        "`@interfaceObject` is used where it cannot work.",
        "It needs a `@key`, an interface with that key in another subgraph, and no implementing type beside it.",
    ),
    "INVALID_FIELD_SHARING": Code(
        "Several subgraphs resolve a field and not all of them mark it `@shareable`.",
        "Mark the field `@shareable` in each of them, or resolve it in one.",
    ),
    "INVALID_GRAPHQL": Code(
        "The document is not valid GraphQL.",
        "Correct the document at the line that the message names.",
    ),
    "INVALID_LINK_DIRECTIVE_USAGE": Code(
        "`@link` is used in a way its specification does not allow.",
        "Correct the arguments of `@link`.",
    ),
    "INVALID_LINK_IDENTIFIER": Code(
        "The URL of `@link` does not identify a specification.",
        "Use the form https://host/path/name/v1.2.",
    ),
    "INVALID_SHAREABLE_USAGE": Code(
        "`@shareable` is applied where fields cannot be shared, such as a field of an interface.",
        "Apply it to the object types that implement the interface.",
    ),
    "INVALID_SUBGRAPH_NAME": Code(
        "A subgraph has no name, a reserved name, or that of another subgraph.",
        "Give each subgraph a name of its own that does not start with an underscore.",
    ),
    "KEY_DIRECTIVE_IN_FIELDS_ARG": Code(
        "The field set of a `@key` contains a directive.",
        "Remove the directive from the field set.",
    ),
    "KEY_FIELDS_HAS_ARGS": Code(
        "A `@key` names a field that takes arguments.",
        "Use fields without arguments in keys.",
    ),
    "KEY_FIELDS_SELECT_INVALID_TYPE": Code(
        "A `@key` names a field whose type is an interface or a union.",
        "Use scalars, enums and object types in keys.",
    ),
    "KEY_INVALID_FIELDS": Code(
        "The field set of a `@key` does not fit its type.",
        "Name fields of the type, with sub-selections where their types need them.",
    ),
    "KEY_INVALID_FIELDS_TYPE": Code(
        "The `fields` argument of a `@key` is no string.",
        "Write the field set as a string.",
    ),
    "KEY_UNSUPPORTED_ON_INTERFACE": Code(
        "A `@key` is applied to an interface before version 2.3 of the specification.",
        "Link version 2.3 or later, or remove the key.",
    ),
    "LINK_IMPORT_NAME_MISMATCH": Code(
        "Subgraphs import the same directive for composition under different names.",
        "Import it under one name everywhere.",
    ),
    "LIST_SIZE_APPLIED_TO_NON_LIST": Code(
        "`@listSize` is applied to a field that is no list, or its `sizedFields` name one.",
        "Apply it to a list, or name the lists in `sizedFields`.",
    ),
    "LIST_SIZE_INVALID_ASSUMED_SIZE": Code(
        "The `assumedSize` of `@listSize` is negative.",
        "Use zero or more.",
    ),
    "LIST_SIZE_INVALID_SIZED_FIELD": Code(
        "A `sizedFields` entry of `@listSize` is no field of the returned type.",
        "Name list fields of the type that the field returns.",
    ),
    "LIST_SIZE_INVALID_SLICING_ARGUMENT": Code(
        "A `slicingArguments` entry of `@listSize` is no integer argument of the field.",
        "Name arguments of type `Int` or `Int!`.",
    ),
    "MAX_VALIDATION_SUBGRAPH_PATHS_EXCEEDED": Code(
        "The satisfiability check met more combinations than its limit allows.",
        "Share fewer composite fields between subgraphs, or give their types keys.",
    ),
    "MERGED_DIRECTIVE_APPLICATION_ON_EXTERNAL": Code(
        "A directive that is carried into the supergraph is applied to an external field.",
        "Apply it where the field is resolved.",
    ),
    "MISSING_TRANSITIVE_AUTH_REQUIREMENTS": Code(
        "A field requires data that is under access control, and is not under it itself.",
        "Give the requiring field the access control of what it requires.",
    ),
    "NO_QUERIES": Code(
        "No subgraph has a query field.",
        "Add a field to the Query type of a subgraph.",
    ),
    "ONLY_INACCESSIBLE_CHILDREN": Code(
        "A visible type has nothing visible in it.",
        "Hide the type too, or show one of its parts.",
    ),
    "OVERRIDE_COLLISION_WITH_ANOTHER_DIRECTIVE": Code(
        "`@override` meets a directive that it cannot be combined with.",
        "Remove one of the two, on the overriding field or on the overridden one.",
    ),
    "OVERRIDE_FROM_SELF_ERROR": Code(
        "A field overrides itself: `from` names its own subgraph.",
        "Name the subgraph the field moves away from.",
    ),
    "OVERRIDE_LABEL_INVALID": Code(
        "The `label` of an `@override` has no valid form.",
        "Use a name that starts with a letter, of letters, digits and `_-:./`, or `percent(n)` with n from 0 to 100.",
    ),
    "OVERRIDE_ON_INTERFACE": Code(
        "`@override` is applied to a field of an interface or of an interface object.",
        "Override the field in object types.",
    ),
    "OVERRIDE_SOURCE_HAS_OVERRIDE": Code(
        "A field is overridden in several subgraphs, or in the one it is overridden from.",
        "Keep one `@override` for each field.",
    ),
    "PROVIDES_DIRECTIVE_IN_FIELDS_ARG": Code(
        "The field set of a `@provides` contains a directive.",
        "Remove the directive from the field set.",
    ),
    "PROVIDES_FIELDS_HAS_ARGS": Code(
        "A `@provides` names a field that takes arguments.",
        "Provide fields without arguments.",
    ),
    "PROVIDES_FIELDS_MISSING_EXTERNAL": Code(
        "A `@provides` names a field that is not external.",
        "Mark the field `@external`, or drop it from the field set.",
    ),
    "PROVIDES_INVALID_FIELDS": Code(
        "The field set of a `@provides` does not fit the type of its field.",
        "Name fields of the type that the field returns.",
    ),
    "PROVIDES_INVALID_FIELDS_TYPE": Code(
        "The `fields` argument of a `@provides` is no string.",
        "Write the field set as a string.",
    ),
    "PROVIDES_ON_NON_OBJECT_FIELD": Code(
        "`@provides` is applied to a field that returns a leaf.",
        "Apply it to fields that return an object, an interface or a union.",
    ),
    "PROVIDES_UNSUPPORTED_ON_INTERFACE": Code(
        "`@provides` is applied to a field of an interface.",
        "Apply it to the field in the implementing types.",
    ),
    "QUERY_ROOT_TYPE_INACCESSIBLE": Code(
        "The Query type is inaccessible.",
        "Remove `@inaccessible` from it.",
    ),
    "REFERENCED_INACCESSIBLE": Code(
        "A visible element refers to an inaccessible type.",
        "Hide the element too, or show the type.",
    ),
    "REQUIRED_ARGUMENT_MISSING_IN_SOME_SUBGRAPH": Code(
        "An argument is required in one subgraph and missing in another.",
        "Add the argument everywhere, or make it optional.",
    ),
    "REQUIRED_INACCESSIBLE": Code(
        "A required argument or input field is hidden while what it belongs to is visible.",
        "Show it, or give it a default value.",
    ),
    "REQUIRED_INPUT_FIELD_MISSING_IN_SOME_SUBGRAPH": Code(
        "An input field is required in one subgraph and missing in another.",
        "Add the field everywhere, or make it optional.",
    ),
    "REQUIRES_DIRECTIVE_IN_FIELDS_ARG": Code(
        "The field set of a `@requires` contains a directive.",
        "Remove the directive from the field set.",
    ),
    "REQUIRES_FIELDS_MISSING_EXTERNAL": Code(
        "A `@requires` names a field that is not external.",
        "Mark the field `@external`, or drop it: the subgraph resolves it itself.",
    ),
    "REQUIRES_INVALID_FIELDS": Code(
        "The field set of a `@requires` does not fit its type.",
        "Name fields of the type, with sub-selections where their types need them.",
    ),
    "REQUIRES_INVALID_FIELDS_TYPE": Code(
        "The `fields` argument of a `@requires` is no string.",
        "Write the field set as a string.",
    ),
    "REQUIRES_UNSUPPORTED_ON_INTERFACE": Code(
        "`@requires` is applied to a field of an interface.",
        "Apply it to the field in the implementing types.",
    ),
    "ROOT_MUTATION_USED": Code(
        "A subgraph has a type called Mutation that is not its mutation root.",
        "Rename the type, or make it the root.",
    ),
    "ROOT_QUERY_USED": Code(
        "A subgraph has a type called Query that is not its query root.",
        "Rename the type, or make it the root.",
    ),
    "ROOT_SUBSCRIPTION_USED": Code(
        "A subgraph has a type called Subscription that is not its subscription root.",
        "Rename the type, or make it the root.",
    ),
    "SATISFIABILITY_ERROR": Code(
        "A query that the merged schema allows cannot be resolved by the subgraphs.",
        "Give the types on the way a `@key` that both sides share, or resolve the field where the query already is.",
    ),
    "SHAREABLE_HAS_MISMATCHED_RUNTIME_TYPES": Code(
        "A shared field returns an abstract type, and its subgraphs have no runtime type in common.",
        "Let the subgraphs that share the field agree on possible types.",
    ),
    "TYPE_DEFINITION_INVALID": Code(
        "A document defines one of federation's types differently from its specification.",
        "Remove the definition: composition knows the type.",
    ),
    "TYPE_KIND_MISMATCH": Code(
        "A name stands for different kinds of types in different subgraphs.",
        "Rename one of them, or use `@interfaceObject` where an object stands for an interface.",
    ),
    "TYPE_WITH_ONLY_UNUSED_EXTERNAL": Code(
        "A Federation 1 type holds nothing but external fields that nothing uses.",
        "Remove the type from the subgraph.",
    ),
    "UNKNOWN_FEDERATION_LINK_VERSION": Code(
        "A document links a version of the federation specification that composition does not know.",
        "Link a known version.",
    ),
    "UNSUPPORTED_FEATURE": Code(
        "A directive is valid and composition does not support it.",
        "Compose without the directive.",
    ),
    "UNSUPPORTED_LINKED_FEATURE": Code(
        "A document links a specification `for: SECURITY` or `for: EXECUTION` that composition does not know.",
        "Remove the link, or its purpose if nothing depends on it.",
    ),
}


def reference_page() -> str:
    """The page ``docs/reference/composition-errors.md``, whole."""
    rows = "\n".join(f"| `{name}` | {code.meaning} | {code.remedy} |" for name, code in sorted(CODES.items()))
    return f"""# Composition errors

`compose` returns every error it finds, each with a code, a message, the subgraphs and schema coordinates it is about,
and a hint. Codes are stable and have the names of the Federation 2 error reference. This page is generated from
`gateway/federation/composition/codes.py`.

| Code | Reported when | What to do |
|---|---|---|
{rows}
"""
