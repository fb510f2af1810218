"""What is worth an alert, and when it is over."""

from datetime import UTC, datetime

import pytest

from clients.call import ProtocolName
from clients.hooks import CircuitEvent
from gateway.alerts import AlertsConfig, AlertType, Watch

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def watch() -> Watch:
    return Watch(AlertsConfig(), "gateway-1", iter("abcdefgh").__next__)


def _changed(state: str, *, service: str = "crm", operation: str | None = None) -> CircuitEvent:
    return CircuitEvent(service, ProtocolName.GRAPHQL, "whatever", state, f"{state} for a reason", operation)


def test_a_circuit_that_opens_and_closes_is_told_twice_and_not_of_its_probes(watch: Watch) -> None:
    states = ["open", "half-open", "open", "half-open", "closed", "open"]
    told = [watch.circuit(_changed(state), AT) for state in states]
    assert [alert and (alert.id, alert.type, alert.data.reason) for alert in told] == [
        ("a", AlertType.CIRCUIT_OPENED, "open for a reason"),
        None,
        None,
        None,
        ("b", AlertType.CIRCUIT_CLOSED, "closed for a reason"),
        ("c", AlertType.CIRCUIT_OPENED, "open for a reason"),
    ]


def test_each_service_protocol_and_operation_has_troubles_of_its_own(watch: Watch) -> None:
    assert watch.circuit(_changed("open"), AT)
    assert watch.circuit(_changed("open", service="billing"), AT)
    assert (alert := watch.circuit(_changed("open", operation="customers"), AT))
    assert alert.data.operation == "customers"
    assert watch.circuit(_changed("closed", operation="invoices"), AT) is None


def test_much_that_is_stale_is_told_once_and_over_when_it_is_under_half_the_limit(watch: Watch) -> None:
    ratios = [0.05, 0.1, 0.3, 0.09, 0.05, 0.04, 0.06, 0.1]
    told = [watch.stale("crm", 100, ratio, AT) for ratio in ratios]
    assert [alert and alert.type for alert in told] == [
        None,
        AlertType.STALE_HIGH,
        None,
        None,
        None,
        AlertType.STALE_NORMAL,
        None,
        AlertType.STALE_HIGH,
    ]
    assert told[1] is not None
    assert told[1].data.reason == "10% of 100 calls in five minutes were answered from before; 10% is the limit"
    assert told[1].data.stale_ratio == 0.1


def test_few_calls_raise_nothing_and_end_what_was_raised(watch: Watch) -> None:
    assert watch.stale("crm", 19, 1.0, AT) is None
    assert watch.stale("crm", 20, 1.0, AT) is not None
    assert (over := watch.stale("crm", 0, None, AT)) is not None
    assert over.type is AlertType.STALE_NORMAL


def test_without_a_limit_nothing_stale_is_told() -> None:
    assert Watch(AlertsConfig(stale_ratio=None), "gateway-1").stale("crm", 1_000, 1.0, AT) is None


def test_the_troubles_of_a_service_end_with_it(watch: Watch) -> None:
    watch.circuit(_changed("open"), AT)
    watch.stale("crm", 100, 1.0, AT)
    assert watch.troubled == {"crm"}
    told = list(watch.gone({"billing"}, set(), AT))
    assert [(alert.type, alert.data.reason) for alert in told] == [
        (AlertType.CIRCUIT_CLOSED, "the service is served no more"),
        (AlertType.STALE_NORMAL, "the service is served no more"),
    ]
    assert watch.circuit(_changed("closed"), AT) is None
    assert watch.stale("crm", 100, 0.0, AT) is None


def test_a_service_that_was_replaced_begins_without_the_trouble_of_its_circuits(watch: Watch) -> None:
    watch.circuit(_changed("open"), AT)
    watch.circuit(_changed("open", operation="customers"), AT)
    assert not list(watch.gone({"crm"}, {("crm", "graphql", None), ("crm", "graphql", "customers")}, AT))
    [over] = watch.gone({"crm"}, {("crm", "graphql", None)}, AT)
    assert (over.type, over.data.operation, over.data.reason) == (
        AlertType.CIRCUIT_CLOSED,
        "customers",
        "it was replaced by a new one",
    )
    assert watch.circuit(_changed("open", operation="customers"), AT) is not None
