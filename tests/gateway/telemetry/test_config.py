"""What gateway.yaml may say of logs and metrics."""

import pytest

from gateway.config import ConfigError, parse


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("metrics: { path: metrics }", "metrics.path: expected a path such as /metrics, found 'metrics'"),
        ("metrics: { path: '/a b' }", "metrics.path: expected a path such as /metrics, found '/a b'"),
        ("metrics: { path: /graphql }", "metrics.path: /graphql is the gateway's own; choose another"),
        ("metrics: { path: /health/metrics }", "metrics.path: /health is the gateway's own; choose another"),
        ("metrics: { port: 1 }", "metrics.port: unknown key"),
        ("log: { requests: { sample: 1.5 } }", "log.requests.sample: "),
        ("log: { requests: { slow_s: 0 } }", "log.requests.slow_s: "),
        ("log: { requests: { always: [slow] } }", "log.requests.always"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(text, {})
    assert complaint in str(refused.value)


def test_all_of_it_may_be_left_out() -> None:
    config = parse("{}", {})
    assert (config.metrics.enabled, config.metrics.path) == (True, "/metrics")
    assert (config.log.requests.sample, config.log.requests.slow_s, config.log.requests.variables) == (1, 1, False)
