"""Plans, as log lines may show them: without the values that a client wrote into its document."""

import hashlib
import re

from gateway.federation.planner import Plan

_MOST_TEXT = 2_000
_MOST_PLANS = 1_000
_TEXT = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(r"(?<![\w$])-?\d[\w.+-]*")


def plan_text(plan: Plan) -> str:
    """The plan's text, not too long."""
    text = _shape(plan)
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " (cut)"


class PlanNames:
    """Gives each plan a short name: the same for operations that differ in the values they hold alone."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[Plan, str]] = {}  # a plan is held here, so that no other one gets its id

    def name(self, plan: Plan) -> str:
        """Twelve hexadecimal digits."""
        known = self._names.get(id(plan))
        if known is None:
            if len(self._names) >= _MOST_PLANS:
                self._names.clear()
            digest = hashlib.blake2b(_shape(plan).encode(), digest_size=6).hexdigest()
            known = self._names[id(plan)] = plan, digest
        return known[1]


def _shape(plan: Plan) -> str:
    """The text without strings and numbers; lines that begin at the margin are the planner's own."""
    lines = _TEXT.sub('"…"', str(plan)).split("\n")
    return "\n".join(line if line[:1] != " " else _NUMBER.sub("0", line) for line in lines)
