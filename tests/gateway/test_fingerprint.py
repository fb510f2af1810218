"""The configuration in one word: what changes it, and which secrets never do."""

from typing import Any

import pytest
import yaml

from gateway.config import parse
from gateway.config.fingerprint import config_hash

BASE: dict[str, Any] = {
    "ops": {"admin_token": "correct-horse-battery"},
    "redis": {"url": "redis://:one@cache/0"},
    "services": {
        "crm": {
            "graphql": "http://crm/graphql?key=one",
            "headers": {"x-key": "one"},
            "auth": {"type": "bearer", "token": "one-one-one"},
        }
    },
}


def hashed(**sections: Any) -> str:
    return config_hash(parse(yaml.safe_dump({**BASE, **sections}), {}))


def crm(**keys: Any) -> dict[str, Any]:
    return {"services": {"crm": {**BASE["services"]["crm"], **keys}}}


@pytest.mark.parametrize(
    "sections",
    [
        {"ops": {"admin_token": "another-horse-battery"}},
        {"redis": {"url": "redis://:two@cache/0"}},
        crm(graphql="http://crm/graphql?key=two"),
        crm(headers={"x-key": "two"}),
        crm(auth={"type": "bearer", "token": "two-two-two"}),
    ],
)
def test_a_secret_changes_nothing(sections: dict[str, Any]) -> None:
    assert hashed(**sections) == hashed()


@pytest.mark.parametrize(
    "sections",
    [
        {"mode": "development"},
        {"ops": {"public": True}},
        {"limits": {"max_tokens": 4_000}},
        {"profiles": {"internal-own": {"timeout_s": 1}}},
        crm(graphql="http://crm2/graphql"),
        crm(profile="internal-fast"),
        crm(headers={"x-other": "one"}),
        crm(timeout_s=1),
    ],
)
def test_anything_else_does(sections: dict[str, Any]) -> None:
    assert hashed(**sections) != hashed()


def test_what_is_written_out_and_what_is_the_default_are_the_same() -> None:
    assert hashed(mode="production", limits={}) == hashed()
