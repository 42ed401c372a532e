"""Everything at once: requests, losses, resumes, rotations, replays and time, in any order.

A connection is two queues of messages. The machine delivers them one by one, loses, reorders, replays and
flips them, cuts connections at any point (noticed by the agent or not) and lets time pass.
"""

from __future__ import annotations

from collections import Counter, deque

from chaos import Agent, RecordingSealer, Wire, number_in, payload_with
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pair import WORK, Connection

from myclerk_protocol import channel
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.events import Established, Failure, Response
from myclerk_protocol.records import SessionRegistry
from myclerk_protocol.seal import Sealer


class SessionMachine(RuleBasedStateMachine):
    """One client and one agent, and a network that does its worst."""

    def __init__(self) -> None:
        super().__init__()
        RecordingSealer.used = set()
        channel.Sealer = RecordingSealer  # type: ignore[misc]
        self.agent = Agent()
        self.state = ClientState()
        self.wire: Wire | None = None
        self.late: list[Wire] = []
        self.client = Connection(self.agent, self.state).client
        self.client.end("not connected yet", linger=True)
        self.history_up: deque[bytes] = deque(maxlen=40)
        self.history_down: deque[bytes] = deque(maxlen=40)
        self.asked = 0
        self.requests: set[int] = set()
        self.outcomes: Counter[int] = Counter()
        self.answered: set[int] = set()

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            channel.Sealer = Sealer  # type: ignore[misc]

    # -- the client -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.wire is None)
    @rule(steps=st.sampled_from([0, 1, 2, 3, 60, 60, 60]))
    def connect(self, steps: int) -> None:
        """A new connection, and so many steps of its handshake."""
        self.wire = Wire(Connection(self.agent, self.state))
        self.client = self.wire.connection.client
        self.wire.flush()
        for _ in range(steps):
            self._deliver_up(self.wire)
            self._deliver_down()
            self._settle()

    @rule(count=st.integers(1, 4), delivered=st.booleans())
    def request(self, count: int, delivered: bool) -> None:
        """Also while there is no connection."""
        for _ in range(count):
            self.asked += 1
            self.requests.add(self.asked)
            self.client.request(WORK, payload_with(self.asked), context=self.asked)
        self._settle()
        if delivered and self.wire is not None:
            self.deliver_everything()

    @precondition(lambda self: self.wire is not None)
    @rule()
    def post(self) -> None:
        self.asked += 1
        self.wire.connection.client.post(WORK, payload_with(self.asked))
        self._settle()

    @precondition(lambda self: self.wire is not None)
    @rule(fresh=st.booleans())
    def rotate(self, fresh: bool) -> None:
        client = self.wire.connection.client
        if client.phase.name == "OPEN":
            client.rotate(fresh=fresh)
            self._settle()

    # -- the agent ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.agent.held)
    @rule(data=st.data())
    def answer_a_held_request(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.agent.held) - 1))
        self.agent.finish(bytes(self.agent.held[index][1].payload), index)
        self._settle()

    @precondition(lambda self: self.wire is not None and len(self.agent.order) > 1)
    @rule(how=st.sampled_from(["close", "revoke", "restart"]))
    def end_the_session(self, how: str) -> None:
        connection = self.wire.connection
        if how == "close":
            connection.client.close()
        elif how == "restart":
            self._restart_agent()
        elif connection.agent.record is not None:
            self.agent.registry.kill(connection.agent.record)
        self._settle()

    def _restart_agent(self) -> None:
        for wire in [*self.late, *([self.wire] if self.wire else [])]:
            wire.connection.lose_agent()
        registry = SessionRegistry(self.agent.environment, self.agent.policy, self.agent.ended.append)
        self.agent.registry = registry
        self.agent.held.clear()

    # -- the network ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.wire is not None)
    @rule(up=st.integers(0, 3), down=st.integers(0, 3))
    def deliver(self, up: int, down: int) -> None:
        for _ in range(up):
            self._deliver_up(self.wire)
        for _ in range(down):
            self._deliver_down()
        self._settle()

    @precondition(lambda self: self.wire is not None)
    @rule()
    def deliver_everything(self) -> None:
        for _ in range(1000):
            if self.wire is None or not (self.wire.up or self.wire.down):
                return
            self._deliver_up(self.wire)
            self._deliver_down()
            self._settle()
        raise AssertionError("the sessions talk without end")

    @precondition(lambda self: self.wire is not None)
    @rule(noticed=st.booleans(), late=st.booleans())
    def cut(self, noticed: bool, late: bool) -> None:
        """The client loses the connection. What is on its way up is lost, or arrives late."""
        wire = self.wire
        if noticed:
            wire.connection.lose_agent()
        if not late:
            wire.up.clear()
        wire.down.clear()
        wire.connection.lose_client()
        self._settle()

    @precondition(lambda self: self.late)
    @rule(count=st.integers(1, 4), data=st.data())
    def arrive_late(self, count: int, data: st.DataObject) -> None:
        wire = data.draw(st.sampled_from(self.late))
        for _ in range(count):
            self._deliver_up(wire)
        self._settle()

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def notice_late(self, data: st.DataObject) -> None:
        wire = data.draw(st.sampled_from(self.late))
        wire.connection.lose_agent()
        self.late.remove(wire)

    @precondition(lambda self: self.wire is not None and self.history_up and self.history_down)
    @rule(how=st.sampled_from(["reorder", "flip", "replay", "replay to the client"]), data=st.data())
    def do_mischief(self, how: str, data: st.DataObject) -> None:
        """One wrong message arrives; nothing of it may ever have an effect but the end of the connection."""
        wire = self.wire
        if how == "replay to the client":
            wire.down.appendleft(data.draw(st.sampled_from(self.history_down)))
            self._deliver_down()
        elif how == "replay" or not wire.up:
            wire.up.appendleft(data.draw(st.sampled_from(self.history_up)))
            self._deliver_up(wire)
        elif how == "reorder":
            wire.up.rotate(1)
            self._deliver_up(wire)
        else:
            message = bytearray(wire.up[0])
            message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
            wire.up[0] = bytes(message)
            self._deliver_up(wire)
        self._settle()

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 9.0, 16.0, 20.0, 46.0, 43_300.0, 90_000.0]))
    def pass_time(self, seconds: float) -> None:
        self.agent.world.advance(seconds)
        for wire in self.late:
            wire.connection.agent.tick()
        if self.wire is not None:
            self.wire.connection.tick()
        self.agent.registry.sweep()
        self._settle()

    # -- what always holds ----------------------------------------------------------------------------------

    @invariant()
    def nothing_executes_twice(self) -> None:
        executions = Counter(number for numbers in self.agent.order.values() for number in numbers)
        assert max(executions.values(), default=0) <= 1

    @invariant()
    def each_session_executes_in_the_order_sent(self) -> None:
        for numbers in self.agent.order.values():
            assert numbers == sorted(numbers)

    @invariant()
    def no_request_has_two_outcomes(self) -> None:
        assert max(self.outcomes.values(), default=0) <= 1

    @invariant()
    def both_sides_agree_on_their_keys(self) -> None:
        if self.wire is None or self.wire.up or self.wire.down:
            return
        connection = self.wire.connection
        if connection.agent.phase.name == "AUTHENTICATED" and connection.client.phase.name == "OPEN":
            client, agent = connection.client._channel, connection.agent._channel
            assert client.send_key == agent.receive_key
            assert client.receive_key == agent.send_key
            assert client.rotations == agent.rotations
            if not connection.agent.dropped:  # a first byte may be flipped into that of bare tier 0
                assert client._sealer.messages == agent._opener.messages

    @invariant()
    def sessions_are_bounded(self) -> None:
        assert len(self.state.tickets) <= 2
        for record in self.agent.registry:
            assert len(record.unproven) <= 4
            assert not record.dead

    # -- helpers --------------------------------------------------------------------------------------------

    def _deliver_up(self, wire: Wire | None) -> None:
        if wire is not None and wire.up:
            message = wire.up.popleft()
            self.history_up.append(message)
            wire.connection.to_agent([message])
            wire.flush()

    def _deliver_down(self) -> None:
        wire = self.wire
        if wire is not None and wire.down:
            message = wire.down.popleft()
            self.history_down.append(message)
            wire.connection.to_client([message])
            wire.flush()

    def _settle(self) -> None:
        """Note what the client learned, and let each side learn that the other is gone."""
        wire = self.wire
        if wire is None:
            return
        wire.flush()
        connection = wire.connection
        if connection.agent.closed and not wire.down:
            connection.lose_client()
        for event in connection.client_events[wire.seen :]:
            self._note(event)
        wire.seen = len(connection.client_events)
        if connection.client.closed:
            self.wire = None
            if not connection.agent.closed:
                wire.down.clear()
                self.late.append(wire)

    def _note(self, event: object) -> None:
        if isinstance(event, Response):
            number = event.request.context
            assert number_in(event.payload) == number
            self.outcomes[number] += 1
            self.answered.add(number)
        elif isinstance(event, Established):
            self.outcomes.update(request.context for request in event.lost)
        assert not isinstance(event, Failure)

    def _finish(self) -> None:
        """With a kind network every request comes to its one outcome, answered only if executed."""
        for wire in self.late:
            wire.connection.lose_agent()
        for _ in range(20):
            if self.wire is None:
                self.connect(steps=0)
            self.deliver_everything()
            while self.agent.held:
                self.agent.finish(bytes(self.agent.held[0][1].payload))
            self._settle()
            self.deliver_everything()
            if self.wire is not None and not self.state.pending:
                break
            self.pass_time(15.0)  # what waits for an answer that was made unreadable gives up
        else:
            raise AssertionError(f"still waiting for {list(self.state.pending)}")
        assert set(self.outcomes) == self.requests
        assert all(count == 1 for count in self.outcomes.values())
        executed = {number for numbers in self.agent.order.values() for number in numbers}
        assert self.answered <= executed


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
