"""Numbers of the command line, refused where they make no sense."""

import argparse

_MAX_PORT = 65535


def port(text: str) -> int:
    """A port; 0 takes a free one."""
    return _between(text, 0, _MAX_PORT)


def count(text: str) -> int:
    """At least one."""
    return _between(text, 1, None)


def _between(text: str, least: int, most: int | None) -> int:
    wanted = f"expected a whole number from {least}" + (f" to {most}" if most is not None else " up")
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{wanted}, found {text!r}") from None
    if number < least or (most is not None and number > most):
        raise argparse.ArgumentTypeError(f"{wanted}, found {number}")
    return number
