"""Types as they are written: ``"[Int!]!"``. Hashable, comparable, printable; no schema is needed to hold one."""

from collections.abc import Callable


def named(ref: str) -> str:
    """The type without lists and non-null marks: ``"[Int!]!"`` gives ``"Int"``."""
    return ref.strip("[]!")


def is_non_null(ref: str) -> bool:
    """Whether null is excluded at the outermost level."""
    return ref.endswith("!")


def nullable(ref: str) -> str:
    """The type with null allowed at the outermost level."""
    return ref.removesuffix("!")


def is_list(ref: str) -> bool:
    """Whether it is a list, nullable or not."""
    return ref.startswith("[")


def item(ref: str) -> str:
    """The item type of a list type."""
    return nullable(ref)[1:-1]


def rename(ref: str, names: dict[str, str]) -> str:
    """The same wrapping around another named type, when ``names`` has one."""
    name = named(ref)
    return ref.replace(name, names[name]) if name in names else ref


def is_subtype(sub: str, sup: str, is_named_subtype: Callable[[str, str], bool]) -> bool:
    """Whether a value of ``sub`` is always a value of ``sup`` (equal counts).

    ``is_named_subtype`` decides for two different names: union members and implementers.
    Source: GraphQL spec, IsValidImplementationFieldType().
    """
    if sub == sup:
        return True
    if is_non_null(sub):
        return is_subtype(nullable(sub), nullable(sup), is_named_subtype)
    if is_non_null(sup):
        return False
    if is_list(sub) or is_list(sup):
        return is_list(sub) and is_list(sup) and is_subtype(item(sub), item(sup), is_named_subtype)
    return is_named_subtype(sub, sup)
