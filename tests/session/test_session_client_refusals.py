"""What makes a client give up in a handshake: it never settles for less (docs/protocol.md, 6.3)."""

from __future__ import annotations

from typing import Any

import pytest
from pair import IDENTITIES, WORK, AgentSide, Trust, agent_side, connected
from raw_agent import RawAgent

from myclerk_protocol import header, payloads
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import MalformedMessage, Status


def _agent(side: AgentSide | None = None, mode: Mode = Mode.HYBRID, policy: Policy | None = None) -> RawAgent:
    side = side or agent_side()
    trust = Trust(IDENTITIES["device"], side.identity)
    return RawAgent(ClientSession(side.world.environment(b"client"), trust, None, policy, mode), side)


def _gave_up(agent: RawAgent) -> bool:
    """The client closed, said nothing further and reported no session."""
    silent = agent.client.outbox.take() == []
    established = [event for event in agent.events if type(event).__name__ == "Established"]
    return agent.client.closed and silent and not established


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0, "request_id": 0},
        {"tier": 2},
        {"compressed": True},
        {"push": True},
        {"opcode": Opcode.SESSION_RESUMED},
        {"opcode": Opcode.KEY_EXCHANGE_COMPLETE},
        {"sequence": 1},
        {"session_id": 0},
        {"session_id": 8},
        {"nonce": 1},
        {"key_id": 1},
        {"request_id": 0},
        {"request_id": 2},
    ],
    ids=str,
)
def test_any_other_header_field_makes_the_client_give_up(change: dict[str, int]) -> None:
    agent = _agent()
    agent.deliver(agent.ack(change))
    assert _gave_up(agent)


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": 8},
        {"session_id": 0},
        {"session_id": None},
        {"nonce": bytes(7)},
        {"nonce": None},
        {"selected_tier": 3},
        {"selected_tier": 6},
        {"selected_tier": None},
        {"selected_kex_mode": 0},
        {"selected_kex_mode": 2},
        {"selected_kex_mode": 0, "mlkem_ciphertext": None},
        {"x25519_public": bytes(32)},
        {"x25519_public": bytes(31)},
        {"mlkem_ciphertext": None},
        {"mlkem_ciphertext": bytes(1087)},
        {"selected_capabilities": None},
        {"selected_capabilities": []},
        {"selected_capabilities": [1]},
        {"selected_capabilities": [3]},
        {"selected_capabilities": [2, 3]},
        {"selected_capabilities": [0, 2]},
        {"selected_capabilities": [2, 4]},
        {"selected_capabilities": [2, 99]},
    ],
    ids=str,
)
def test_any_unfit_answer_makes_the_client_give_up(change: dict[str, Any]) -> None:
    agent = _agent()
    agent.deliver(agent.ack(**change))
    assert _gave_up(agent)


def test_tier_above_what_was_offered() -> None:
    agent = _agent(policy=Policy(max_tier=4))
    assert agent.asked["max-tier"] == 4
    agent.deliver(agent.ack(selected_tier=5))
    assert _gave_up(agent)


def test_hybrid_answer_to_a_classical_offer() -> None:
    agent = _agent(mode=Mode.CLASSICAL)
    assert "mlkem-public" not in agent.asked
    agent.deliver(agent.ack(selected_kex_mode=1, mlkem_ciphertext=bytes(1088)))
    assert _gave_up(agent)


def test_ciphertext_in_a_classical_answer() -> None:
    agent = _agent(mode=Mode.CLASSICAL)
    agent.deliver(agent.ack(mlkem_ciphertext=bytes(1088)))
    assert _gave_up(agent)


def test_fitting_answer_is_taken() -> None:
    """The same way of answering with nothing changed: the refusals above are for what was changed."""
    agent = _agent()
    agent.deliver(agent.ack())
    agent.deliver(agent.proof())
    assert type(agent.events[0]).__name__ == "Established"


# -- the agent's proof ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"push": False},
        {"request_id": 0},
        {"request_id": 2},
        {"tier": 3},
        {"tier": 5},
        {"compressed": True},
        {"version": 0},
        {"opcode": Opcode.KEEPALIVE},
    ],
    ids=str,
)
def test_first_sealed_message_must_be_the_proof(change: dict[str, Any]) -> None:
    agent = _agent()
    agent.deliver(agent.ack())
    agent.deliver(agent.proof(**change))
    assert _gave_up(agent)


def test_nothing_is_said_before_the_proof_is_checked() -> None:
    agent = _agent()
    agent.client.request(WORK, b"")
    agent.deliver(agent.ack())
    assert agent.client.outbox.take() == []
    agent.deliver(agent.proof())
    assert [m.opcode for m in agent.received()] == [Opcode.CLIENT_REGISTER, WORK]


@pytest.mark.parametrize("flaw", ["signature", "profile"])
def test_agent_that_was_not_pinned_gets_nothing(flaw: str) -> None:
    agent = _agent()
    agent.deliver(agent.ack())
    proof = dict(agent.side.proof(agent.transcript))
    if flaw == "signature":
        proof["signature"] = agent.side.identity.agent_proof(bytes(32)).signature
    else:
        stranger = IDENTITIES["device"]
        proof |= {
            "profile": stranger.profile.raw,
            "signature": stranger.agent_proof(agent.transcript).signature,
        }
    sealed = agent.seal(Opcode.KEY_EXCHANGE_COMPLETE, payloads.pack(proof), tier=4, request_id=1, push=True)
    agent.deliver(sealed)
    assert _gave_up(agent)


def test_unsealed_proof_is_refused() -> None:
    agent = _agent()
    agent.deliver(agent.ack())
    head = header.Header(1, 4, push=True, opcode=Opcode.KEY_EXCHANGE_COMPLETE, session_id=7, request_id=1)
    agent.deliver(header.encode_plain(head, payloads.pack(agent.side.proof(agent.transcript))))
    assert _gave_up(agent)


# -- hints ---------------------------------------------------------------------------------------------------


def _hint(agent: RawAgent, status: int, *, opcode: int = Opcode.SESSION_INIT, **changes: Any) -> None:
    values = {"version": 1, "tier": 4, "opcode": opcode, "request_id": 1, **changes}
    body = payloads.pack({"status": status, "message": "no"})
    agent.deliver(header.encode_plain(header.Header(**values), body))


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_no_hint_lowers_anything(status: Status) -> None:
    """Whatever error comes unsealed, the client does not try again with less."""
    agent = _agent()
    _hint(agent, status)
    assert agent.client.closed
    assert agent.client.outbox.take() == []
    assert agent.events[-1].error.status is status


def test_hint_of_success_is_refused() -> None:
    agent = _agent()
    _hint(agent, 0)
    assert agent.client.closed
    assert agent.events[-1].error.status is Status.BAD_REQUEST


def test_hint_at_another_tier_is_no_answer() -> None:
    agent = _agent()
    _hint(agent, Status.FORBIDDEN, tier=2)
    assert isinstance(agent.events[-1].error, MalformedMessage)


@pytest.mark.parametrize(
    "change", [{"session_id": 1}, {"request_id": 0}, {"sequence": 1}, {"key_id": 3}], ids=str
)
def test_hint_with_other_header_fields_is_bad(change: dict[str, int]) -> None:
    agent = _agent()
    _hint(agent, Status.FORBIDDEN, **change)
    assert agent.events[-1].error.status is Status.BAD_REQUEST


def test_hint_spends_no_ticket_and_changes_nothing_of_the_session() -> None:
    """A false agent that answers in between leaves the session resumable as it was."""
    connection = connected(policy=Policy(aes=True))
    side, state = connection.agent_side, connection.cut()
    tickets, selected = list(state.tickets), state.selected
    trust = Trust(IDENTITIES["device"], side.identity)
    agent = RawAgent(ClientSession(side.world.environment(b"x"), trust, state, Policy(aes=True)), side)
    _hint(agent, Status.INVALID_SESSION, opcode=Opcode.SESSION_RESUME)
    (agent.init,) = agent.client.outbox.take()  # it falls back to SESSION_INIT
    agent.asked = payloads.unpack(header.decode_plain(agent.init)[1])
    agent.deliver(agent.ack(selected_tier=4))
    agent.deliver(bytes([0x59]) + bytes(80))  # and this agent has no proof
    assert agent.client.closed
    assert (state.tickets, state.selected) == (tickets, selected)
    assert connected(side, state, policy=Policy(aes=True)).client.resumed
