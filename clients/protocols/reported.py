"""What an upstream says of its own errors, and how much of it anybody is told.

Such words are written for whoever runs the upstream: they may hold its statements, its addresses, its secrets. So they
end here, before anything is made of them, unless the configuration says that a service writes for clients.
"""

import re

from msgspec.structs import replace

from clients.call import Problem

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]*")  # GraphQL specification, §2.1.9
_VALUE = re.compile(r"(?<=Invalid )(enum value|value) .*?(?= - at `[^`]*`\Z|\Z)", re.DOTALL)

OTHER_CODE = "OTHER"
"""Stands for a code that is not told, so that an error with a code stays one."""


def plain_code(code: str | None) -> str | None:
    """The code if it looks like one, and so carries nobody's data; `OTHER_CODE` in place of another; None for none."""
    return code if code is None or _CODE.fullmatch(code) else OTHER_CODE


def without_words(problem: Problem, sentence: str) -> Problem:
    """What may be told of an upstream's error: a sentence of ours, its code, and the fields it is about."""
    code = plain_code(problem.code)
    names = [isinstance(part, int) or _NAME.fullmatch(part) is not None for part in problem.path]
    length = names.index(False) if False in names else len(names)
    known = None if code in (None, OTHER_CODE) else {"code": code}
    return replace(problem, message=sentence, code=code, path=problem.path[:length], extensions=known)


def without_values(error: Exception) -> str:
    """What msgspec has to say of a body, without the value it quotes: what was wrong with it, and where."""
    return _VALUE.sub(r"\1", str(error))
