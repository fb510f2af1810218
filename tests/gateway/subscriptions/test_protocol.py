"""The state machine of graphql-transport-ws, without a socket."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.http.params import ParamLimits
from gateway.subscriptions.protocol import (
    Begin,
    Close,
    CloseCode,
    End,
    Initialise,
    Protocol,
    Refuse,
    Reply,
    complete_message,
    error_message,
    next_message,
)


def message(kind: str, **more: Any) -> str:
    return json.dumps({"type": kind, **more})


def ready() -> Protocol:
    protocol = Protocol()
    protocol.received(message("connection_init"))
    protocol.acknowledge()
    return protocol


def code(effect: object) -> int | None:
    return int(effect.code) if isinstance(effect, Close) else None


def test_a_client_is_acknowledged_and_then_it_may_ask() -> None:
    protocol = Protocol()
    assert protocol.received(message("connection_init", payload={"authorization": "Bearer x"})) == Initialise(
        {"authorization": "Bearer x"}
    )
    assert json.loads(protocol.acknowledge()) == {"type": "connection_ack"}
    effect = protocol.received(message("subscribe", id="1", payload={"query": "{ a }", "variables": {"b": 1}}))
    assert isinstance(effect, Begin)
    assert (effect.id, effect.params.query, effect.params.variables) == ("1", "{ a }", {"b": 1})


def test_pings_are_answered_at_any_time_and_pongs_are_not() -> None:
    for protocol in (Protocol(), ready()):
        assert protocol.received(message("ping", payload={"at": 1})) == Reply('{"type":"pong"}')
        assert protocol.received(message("pong")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "{}",
        '{"type": 1}',
        message("next", id="1", payload={}),
        message("error", id="1", payload=[]),
        message("connection_ack"),
        message("start", id="1", payload={"query": "{ a }"}),
        message("connection_init", payload=1),
        message("subscribe"),
        message("subscribe", id=1, payload={"query": "{ a }"}),
        message("subscribe", id="", payload={"query": "{ a }"}),
        message("subscribe", id="1", payload=None),
        message("subscribe", id="1", payload=[]),
        message("subscribe", id="1", payload={"query": 1}),
        message("subscribe", id="1", payload={"query": "{ a }", "variables": []}),
        message("complete"),
        '{"type":"connection_init","payload":' + '{"a":' * 5000 + "1" + "}" * 5001,
    ],
)
def test_what_is_no_message_of_the_protocol_closes_with_4400(text: str) -> None:
    assert code(ready().received(text)) == 4400


def test_asking_before_the_acknowledgement_closes_with_4401() -> None:
    protocol = Protocol()
    ask = message("subscribe", id="1", payload={"query": "{ a }"})
    assert code(protocol.received(ask)) == 4401
    protocol = Protocol()
    protocol.received(message("connection_init"))
    assert code(protocol.received(ask)) == 4401


def test_a_second_initialisation_closes_with_4429_acknowledged_or_not() -> None:
    protocol = Protocol()
    protocol.received(message("connection_init"))
    assert code(protocol.received(message("connection_init"))) == 4429
    assert code(ready().received(message("connection_init"))) == 4429


def test_an_id_in_use_closes_with_4409_and_is_free_when_its_operation_is_over() -> None:
    protocol = ready()
    ask = message("subscribe", id="1", payload={"query": "{ a }"})
    assert isinstance(protocol.received(ask), Begin)
    effect = protocol.received(ask)
    assert effect == Close(CloseCode.SUBSCRIBER_EXISTS, "Subscriber for 1 already exists")
    assert protocol.received(message("complete", id="1")) == End("1")
    assert isinstance(protocol.received(ask), Begin)
    assert protocol.finish("1")
    assert isinstance(protocol.received(ask), Begin)


def test_completing_what_is_over_already_does_nothing() -> None:
    protocol = ready()
    assert protocol.received(message("complete", id="1")) is None
    assert not protocol.finish("1")


def test_variables_that_are_too_large_are_an_error_of_the_operation_and_leave_its_id_free() -> None:
    protocol = Protocol(ParamLimits(max_map_bytes=10))
    protocol.received(message("connection_init"))
    protocol.acknowledge()
    ask = message("subscribe", id="1", payload={"query": "{ a }", "variables": {"long": "x" * 10}})
    assert isinstance(protocol.received(ask), Refuse)
    assert isinstance(protocol.received(ask), Refuse)


def test_a_reason_fits_into_a_frame() -> None:
    close = Close(CloseCode.INVALID_MESSAGE, "é" * 200)
    assert len(close.reason.encode()) <= 123
    assert set(close.reason) == {"é"}


@settings(deadline=None)
@given(st.text())
def test_messages_are_json_whatever_the_id(id_: str) -> None:
    id_ = id_.encode("utf-8", "ignore").decode()
    assert json.loads(next_message(id_, b'{"data":1}')) == {"id": id_, "type": "next", "payload": {"data": 1}}
    assert json.loads(error_message(id_, [{"message": id_}])) == {
        "id": id_,
        "type": "error",
        "payload": [{"message": id_}],
    }
    assert json.loads(complete_message(id_)) == {"id": id_, "type": "complete"}


@settings(max_examples=50, deadline=None)
@given(
    st.text()
    | st.recursive(st.none() | st.text() | st.integers(), lambda c: st.dictionaries(st.text(), c)).map(json.dumps)
)
def test_no_text_is_too_strange(text: str) -> None:
    effect = ready().received(text)
    assert effect is None or isinstance(effect, Close | Reply | Begin | End | Refuse)


class Conversation(RuleBasedStateMachine):
    """Any order of messages and ends, against a model of a set and two flags."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol()
        self.asked = self.acknowledged = self.closed = False
        self.active: set[str] = set()

    def take(self, text: str) -> object:
        effect = self.protocol.received(text)
        self.closed = isinstance(effect, Close)
        return effect

    @precondition(lambda self: not self.closed)
    @rule()
    def init(self) -> None:
        effect = self.take(message("connection_init"))
        assert code(effect) == (4429 if self.asked else None)
        self.asked = True

    @precondition(lambda self: self.asked and not self.acknowledged)
    @rule()
    def acknowledge(self) -> None:
        self.protocol.acknowledge()
        self.acknowledged = True

    @precondition(lambda self: not self.closed)
    @rule(id_=st.sampled_from("abc"))
    def subscribe(self, id_: str) -> None:
        effect = self.take(message("subscribe", id=id_, payload={"query": "{ a }"}))
        expected = 4401 if not self.acknowledged else 4409 if id_ in self.active else None
        assert code(effect) == expected
        if expected is None:
            self.active.add(id_)

    @precondition(lambda self: not self.closed)
    @rule(id_=st.sampled_from("abc"))
    def complete(self, id_: str) -> None:
        assert self.take(message("complete", id=id_)) == (End(id_) if id_ in self.active else None)
        self.active.discard(id_)

    @rule(id_=st.sampled_from("abc"))
    def finish(self, id_: str) -> None:
        assert self.protocol.finish(id_) == (id_ in self.active)
        self.active.discard(id_)

    @invariant()
    def nothing_runs_unacknowledged(self) -> None:
        assert self.acknowledged or not self.active


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
