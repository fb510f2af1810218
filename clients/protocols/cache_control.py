"""What an answer's own headers say about keeping it (RFC 9111 §5.2.2, RFC 5861), for a cache that many callers share.

Nothing here makes a policy's times longer. Expires and heuristics are left out: without `max-age` the policy decides.
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from math import inf

from clients.call import AS_POLICY, Keep

_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~\w-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?')
_NEVER_STALE = frozenset({"must-revalidate", "proxy-revalidate"})


def allowed(headers: Mapping[str, str], *, public: bool, unseen: Collection[str]) -> Keep | None:
    """How long the answer may be kept at most; None: not at all.

    Args:
        headers: of the answer, by lower-case name.
        public: whether callers share it; one that is `private` is kept for its own caller only.
        unseen: lower-case names of request headers that are sent but not told apart by the cache's keys; an answer that
            varies by one of them cannot be kept.
    """
    vary = headers.get("vary")
    if vary is not None and _varies_unseen(vary, unseen):
        return None
    control = headers.get("cache-control")
    if control is None:
        return AS_POLICY
    keep, private = _read(control)
    if keep is None or (private and public):
        return None
    age = headers.get("age") if keep.fresh_s < inf else None
    if age is None:
        return keep
    return Keep(max(0.0, keep.fresh_s - _seconds(age, 0.0)), keep.revalidate_s, keep.stale_s)


def _varies_unseen(vary: str, unseen: Collection[str]) -> bool:
    names = [name.strip().lower() for name in vary.split(",")]
    return "*" in names or any(name in unseen for name in names)


@lru_cache(maxsize=256)  # services say one or two things about all they have
def _read(control: str) -> tuple[Keep | None, bool]:
    """The field's limits (None: not to be kept), and whether it is private.

    `no-cache` and `private` with field names mean the whole answer, which §5.2.2.4 and §5.2.2.7 permit. Of a directive
    given twice the first counts (§4.2.1).
    """
    given: dict[str, str] = {}
    for name, quoted, plain in _DIRECTIVE.findall(control):
        given.setdefault(name.lower(), quoted or plain)
    if "no-store" in given or "no-cache" in given:  # nothing here asks an upstream whether a kept answer still holds
        return None, False
    shared = given.get("s-maxage", given.get("max-age"))
    fresh_s = inf if shared is None else _seconds(shared, 0.0)  # what cannot be read is best taken for stale (§4.2.1)
    revalidate_s = _seconds(given["stale-while-revalidate"], 0.0) if "stale-while-revalidate" in given else inf
    stale_s = _seconds(given["stale-if-error"], 0.0) if "stale-if-error" in given else inf
    # s-maxage says proxy-revalidate as well (§5.2.2.10), unless the same field speaks of stale answers itself
    implied = "s-maxage" in given and "stale-if-error" not in given and "stale-while-revalidate" not in given
    if implied or not _NEVER_STALE.isdisjoint(given):
        revalidate_s = stale_s = 0.0
    if (fresh_s, revalidate_s, stale_s) == (inf, inf, inf):
        return AS_POLICY, "private" in given
    return Keep(fresh_s, revalidate_s, stale_s), "private" in given


def _seconds(text: str, otherwise: float) -> float:
    """A delta-seconds (§1.2.2): digits alone, of any number."""
    return float(text) if text.isascii() and text.isdigit() else otherwise
