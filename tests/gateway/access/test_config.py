"""`access:` of gateway.yaml: what is refused at start, by its path."""

import pytest
import yaml

from gateway.access.config import AccessConfig, AccessError, load_evaluator
from gateway.config import ConfigError, parse
from gateway.runtime import load_schema
from tests.gateway.access import ledger

LEDGER = "tests.gateway.access.ledger"


class Granting:
    """An object that is called."""

    async def __call__(self, policies: frozenset[str], _caller: object) -> frozenset[str]:
        """Grants everything."""
        return policies


granting = Granting()


def test_by_default_fields_are_withheld_and_no_policy_is_granted() -> None:
    assert parse("{}", {}).access == AccessConfig(reject_unauthorized=False, policies=None)
    assert load_evaluator(AccessConfig()) is None


def test_the_callable_is_found() -> None:
    assert load_evaluator(AccessConfig(policies=f"{LEDGER}:grant")) is ledger.grant
    assert load_evaluator(AccessConfig(policies=f"{__name__}:granting")) is granting


@pytest.mark.parametrize("text", ["", "module", "module:", "a b:c", "module:a.b", ":x"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"access\.policies.*expected module:name"):
        parse(yaml.safe_dump({"access": {"policies": text}}), {})


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("tests.nowhere:grant", "No module named 'tests.nowhere'; is it on the Python path?"),
        (f"{LEDGER}:nobody", f"the module {LEDGER} has no nobody"),
        (f"{LEDGER}:not_async", "expected async def not_async(policies, caller)"),
    ],
)
def test_what_cannot_be_called_is_refused_at_start(reference: str, reason: str) -> None:
    with pytest.raises(AccessError) as raised:
        load_evaluator(AccessConfig(policies=reference))
    assert str(raised.value) == f"{reference}: {reason}"
    with pytest.raises(ConfigError, match=r"access\.policies"):
        load_schema(parse(yaml.safe_dump({"access": {"policies": reference}}), {}))
