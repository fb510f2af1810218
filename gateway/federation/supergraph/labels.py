"""Which labels of progressive overrides are on for one request."""

import re

from gateway.federation.supergraph.model import Model

_PERCENT = re.compile(r"percent\((\d+(?:\.\d+)?)\)")


def active_labels(model: Model, draw: float, switched_on: frozenset[str] = frozenset()) -> frozenset[str]:
    """Labels that are on for a request.

    Args:
        model: the supergraph.
        draw: from 0 up to 1, the request's own; ``percent(n)`` is on when it is below n hundredths. Drawn from a
            user's id, for instance, it gives each user one side for good.
        switched_on: labels of other forms that the caller decided on.
    """
    on = set()
    for label in model.override_labels:
        percent = _PERCENT.fullmatch(label)
        if (percent and draw * 100 < float(percent[1])) or (not percent and label in switched_on):
            on.add(label)
    return frozenset(on)
