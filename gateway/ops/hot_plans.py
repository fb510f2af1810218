"""The operations that clients ask for most, with their plans."""

import hashlib
from collections.abc import Iterator

from gateway.federation.executor.compiled import Prepared as FederatedPrepared
from gateway.http.documents import Document, DocumentCache, Operation
from gateway.local_execution import Prepared as LocalPrepared
from gateway.telemetry.plans import plan_text
from schema.operations import PlanFacts

_MOST_NAME = 100
_MOST_TEXT = 2_000

_Prepared = FederatedPrepared | LocalPrepared


def hot_plans(documents: DocumentCache, first: int, *, by_time: bool) -> list[PlanFacts]:
    """The first so many of the operations of these documents, by the time they took together or by their count."""
    asked = [(d, o) for d in documents.held() for o in d.operations if o.figures.count]
    asked.sort(key=lambda each: -(each[1].figures.total_s if by_time else each[1].figures.count))
    return [_facts(document, operation) for document, operation in asked[:first]]


def _facts(document: Document, operation: Operation) -> PlanFacts:
    figures = operation.figures
    prepared = list(_prepared(document, operation))
    compiled = [made for each in prepared if (made := each.compiled()) is not None]
    reason = next((made for made in compiled if isinstance(made, str)), None)
    return PlanFacts(
        name=None if operation.name is None else operation.name[:_MOST_NAME],
        kind=operation.kind.value,
        digest=hashlib.sha256(document.text.encode()).hexdigest(),
        count=figures.count,
        total_s=figures.total_s,
        p95_s=figures.percentile_s(0.95),
        fetches=figures.fetches,
        failed=figures.failed,
        degraded=figures.degraded,
        # Each plan was made once, by a request that did not find it.
        cache_hits=max(0, figures.count - len(prepared)) if prepared else 0,
        compiled=reason is None if compiled else None,
        not_compiled=reason,
        plan=_text(prepared),
    )


def _prepared(document: Document, operation: Operation) -> Iterator[_Prepared]:
    """What was made of it: several, where progressive overrides are on for some requests."""
    for key, made in document.prepared.items():
        if isinstance(made, _Prepared) and key[0] == operation.name:
            yield made


def _text(prepared: list[_Prepared]) -> str | None:
    for each in prepared:
        if isinstance(each, FederatedPrepared):
            return plan_text(each.plan)
        text = each.describe()
        if text is not None:
            return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " (cut)"
    return None
