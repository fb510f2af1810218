"""The balancer in every order of events that hypothesis can think of, against a plain account of who is where."""

from dataclasses import dataclass
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from clients.endpoint import Endpoint
from clients.policy import EjectionPolicy, EndpointsPolicy
from clients.state.balancer import Balancer, EndpointChange, EndpointState, Lease
from clients.state.circuit import Outcome

EVERY = [Endpoint(name, weight) for name, weight in zip("abcde", (1, 2, 3, 1, 1), strict=True)]
SOME = st.lists(st.sampled_from(EVERY), min_size=1, max_size=5, unique=True)


@dataclass(eq=False)
class Under:
    """A call under way."""

    lease: Lease


class BalancerMachine(RuleBasedStateMachine):
    leases = Bundle("leases")

    @initialize(
        endpoints=SOME,
        balance=st.sampled_from(["round-robin", "random", "least-outstanding"]),
        failures=st.integers(1, 3),
        max_share=st.sampled_from([0.1, 0.5, 1.0]),
        seed=st.integers(0, 1000),
    )
    def begin(
        self,
        endpoints: list[Endpoint],
        balance: str,
        failures: int,
        max_share: float,
        seed: int,
    ) -> None:
        self.now = 0.0
        self.policy = EjectionPolicy(failures=failures, eject_s=10, max_eject_s=25, max_share=max_share)
        self.under: list[Under] = []
        self.endpoints = endpoints
        self.shown: dict[str, EndpointState] = {}
        self.balancer = Balancer(
            endpoints,
            EndpointsPolicy(balance=balance, eject=self.policy),  # type: ignore[arg-type]
            now=0,
            random=Random(seed),
            on_change=self.tell,
        )

    def tell(self, change: EndpointChange) -> None:
        """Changes come in an order that makes sense: each begins where the one before it ended."""
        assert change.previous is not change.state
        assert self.shown.get(change.endpoint.name, EndpointState.HEALTHY) is change.previous
        self.shown[change.endpoint.name] = change.state

    @rule(target=leases, avoid=st.lists(st.sampled_from(EVERY), max_size=4))
    def pick(self, avoid: list[Endpoint]) -> Under:
        before = {status.name: status for status in self.balancer.status(self.now)}
        under = Under(self.balancer.pick(self.now, avoid))
        chosen = before[under.lease.endpoint.name]
        staying = [s for s in before.values() if s.state is not EndpointState.EJECTED]
        passing = [s for s in staying if s.state is not EndpointState.UNHEALTHY]
        assert chosen in (passing or staying or before.values())
        if avoid and avoid[-1].name == chosen.name:
            others = [s for s in passing if s.name != chosen.name]
            assert all(s.state is EndpointState.RETURNING and s.outstanding for s in others)
        if chosen.state is EndpointState.RETURNING and chosen.outstanding:
            assert all(s.state is EndpointState.RETURNING and s.outstanding for s in passing)
        self.under.append(under)
        return under

    @rule(under=consumes(leases), outcome=st.sampled_from(list(Outcome)), twice=st.booleans())
    def settle(self, under: Under, outcome: Outcome, twice: bool) -> None:
        for _ in range(1 + twice):
            self.balancer.settle(under.lease, outcome, self.now)
        self.under.remove(under)

    @rule(seconds=st.sampled_from([0.5, 5.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(endpoint=st.sampled_from(EVERY), passes=st.booleans())
    def mark(self, endpoint: Endpoint, passes: bool) -> None:
        self.balancer.mark(endpoint, self.now, "checked", passes=passes)

    @rule(endpoints=SOME)
    def replace(self, endpoints: list[Endpoint]) -> None:
        for endpoint in set(self.endpoints) - set(endpoints):
            self.shown.pop(endpoint.name, None)
        self.endpoints = endpoints
        self.balancer.replace(endpoints, self.now)

    @invariant()
    def every_call_is_counted_where_it_is(self) -> None:
        for status in self.balancer.status(self.now):
            seats = {u.lease.seat for u in self.under if u.lease.endpoint.name == status.name}
            assert status.outstanding >= 0
            assert status.outstanding in {seat.outstanding for seat in seats} | {0}
        for seat in {u.lease.seat for u in self.under}:
            assert seat.outstanding == sum(u.lease.seat is seat for u in self.under)

    @invariant()
    def what_is_shown_was_told(self) -> None:
        for status in self.balancer.status(self.now):
            assert self.shown.get(status.name, EndpointState.HEALTHY) is status.state
            assert (status.ejected_until is not None) == (status.state is EndpointState.EJECTED)
            assert status.ejected_until is None or self.now < status.ejected_until <= self.now + 25 * 1.1


BalancerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBalancer = BalancerMachine.TestCase
