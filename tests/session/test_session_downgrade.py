"""An attacker in the middle who rewrites the handshake never gets the two to agree (docs/protocol.md, 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pair import AgentSide, Connection, agent_side, connected

from myclerk_protocol import exchange, header, kem, payloads
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Opcode

Fields = dict[str, Any]
Change = Callable[[Fields], Fields]


def _rewrite(message: bytes, change: Change) -> bytes:
    head, payload = header.decode_plain(message)
    return header.encode_plain(head, payloads.pack(change(dict(payloads.unpack(payload)))))


def _set(**values: Any) -> Change:
    wire = {name.replace("_", "-"): value for name, value in values.items()}
    return lambda fields: {**fields, **wire}


def _without(*keys: str) -> Change:
    return lambda fields: {key: value for key, value in fields.items() if key not in keys}


def _classical(fields: Fields) -> Fields:
    return {**_without("mlkem-public")(fields), "kex-mode": 0}


def _same(fields: Fields) -> Fields:
    return fields


LIBERAL = Policy(require_pq=False, aes=True)
"""An agent and a client that would each accept anything: only the protocol stands in the attacker's way."""


def _attack(
    on_init: Change = _same, on_ack: Change = _same, state: Any = None, side: AgentSide | None = None
) -> Connection:
    """One handshake with both messages rewritten; the client's further messages pass unchanged."""
    connection = Connection(side or agent_side(LIBERAL), state, LIBERAL)
    for message in connection.take_client():
        connection.to_agent([_rewrite(message, on_init)])
    answers = connection.take_agent()
    if answers:
        connection.to_client([_rewrite(answers[0], on_ack), *answers[1:]])
    connection.pump()
    return connection


def _no_session(connection: Connection) -> None:
    assert connection.client.closed
    assert [event for event in connection.client_events if type(event).__name__ == "Established"] == []
    assert connection.agent.phase.name != "AUTHENTICATED"
    assert connection.agent_side.executed == []


X25519 = exchange.x25519_keypair(bytes(range(32)))[1]


@pytest.mark.parametrize(
    "change",
    [
        _classical,
        _without("mlkem-public"),
        _set(kex_mode=0),
        _set(max_tier=4),
        _without("max-tier"),
        _set(capabilities=[2]),
        _set(capabilities=[3]),
        _set(capabilities=[1, 2, 3]),
        _without("capabilities"),
        _set(nonce=b"attacker"),
        _set(x25519_public=X25519),
        _set(mlkem_public=kem.default().keygen()[0]),
        _set(device_id="A" * 28),
        _set(timestamp=1),
    ],
    ids=range(14),
)
def test_rewritten_init(change: Change) -> None:
    _no_session(_attack(on_init=change))


@pytest.mark.parametrize(
    "change",
    [
        _set(selected_tier=4),
        _set(selected_kex_mode=0),
        _without("mlkem-ciphertext"),
        _set(selected_capabilities=[2, 5, 11, 12]),
        _set(selected_capabilities=[2]),
        _set(selected_capabilities=[3]),
        _set(selected_capabilities=[]),
        _set(nonce=b"attacker"),
        _set(x25519_public=X25519),
        _set(mlkem_ciphertext=bytes(1088)),
        _set(session_id=3),
    ],
    ids=range(11),
)
def test_rewritten_ack(change: Change) -> None:
    _no_session(_attack(on_ack=change))


def test_classical_downgrade_dressed_up_for_the_client() -> None:
    """The agent is told classical, the client that its hybrid offer was taken."""
    dressed = _set(selected_kex_mode=1, mlkem_ciphertext=bytes(1088))
    _no_session(_attack(on_init=_classical, on_ack=dressed))


def test_tier_lowered_for_the_agent_and_raised_again_for_the_client() -> None:
    _no_session(_attack(on_init=_set(max_tier=4), on_ack=_set(selected_tier=5)))


def test_nonces_swapped() -> None:
    seen: Fields = {}

    def note(fields: Fields) -> Fields:
        seen.update(fields)
        return fields

    _no_session(_attack(on_init=note, on_ack=lambda fields: {**fields, "nonce": seen["nonce"]}))


def test_key_ids_that_the_attacker_knows() -> None:
    """X25519 replaced on both ways: both sides compute with the attacker, the transcripts differ."""
    both = _set(x25519_public=X25519)
    _no_session(_attack(on_init=both, on_ack=both))


def test_unchanged_but_packed_anew() -> None:
    """Received bytes are hashed, never a re-encoding: another encoding of the same map is another message."""

    def wide(message: bytes) -> bytes:
        head, payload = header.decode_plain(message)
        return header.encode_plain(head, b"\xde\x00" + bytes([payload[0] & 0x0F]) + bytes(payload[1:]))

    connection = Connection(agent_side(LIBERAL), None, LIBERAL)
    connection.to_agent([wide(message) for message in connection.take_client()])
    connection.pump()
    _no_session(connection)
    connection = Connection(agent_side(LIBERAL), None, LIBERAL)
    connection.to_agent()
    ack, complete = connection.take_agent()
    connection.to_client([wide(ack), complete])
    connection.pump()
    _no_session(connection)


def test_nothing_rewritten_is_a_session() -> None:
    connection = _attack()
    assert connection.agent.phase.name == "AUTHENTICATED"


# -- errors as a lever ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0x10, 0x12, 0x16, 0x17, 0x18, 0x20])
def test_forged_refusal_makes_no_second_offer(status: int) -> None:
    connection = Connection(agent_side(LIBERAL), None, LIBERAL)
    connection.take_client()
    head = header.Header(1, 4, opcode=Opcode.SESSION_INIT, request_id=1)
    connection.to_client(
        [header.encode_plain(head, payloads.pack({"status": status, "message": "try less"}))]
    )
    _no_session(connection)
    assert connection.take_client() == []


def test_forged_invalid_session_costs_a_resume_and_nothing_else() -> None:
    """The client falls back to a whole handshake, in its own mode and at its own tier."""
    first = connected(agent_side(LIBERAL), policy=LIBERAL)
    state = first.cut()
    connection = Connection(first.agent_side, state, LIBERAL)
    connection.take_client()
    head = header.Header(1, 4, opcode=Opcode.SESSION_RESUME, request_id=1)
    connection.to_client([header.encode_plain(head, payloads.pack({"status": 0x17, "message": "no"}))])
    (init,) = connection.take_client()
    fields = payloads.unpack(header.decode_plain(init)[1])
    assert (fields["kex-mode"], fields["max-tier"], fields["capabilities"]) == (
        Mode.HYBRID,
        5,
        [1, 2, 3, 5, 11, 12],
    )


# -- resume --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_resume", "on_resumed"),
    [
        (_set(nonce=b"attacker"), _same),
        (_set(x25519_public=X25519), _same),
        (_set(timestamp=1), _same),
        (_set(extra=1), _same),
        (_same, _set(nonce=b"attacker")),
        (_same, _set(x25519_public=X25519)),
        (_same, _set(selected_tier=4)),
        (_same, _set(session_id=9)),
        (_same, _set(extra=1)),
        (_set(x25519_public=X25519), _set(x25519_public=X25519)),
    ],
    ids=range(10),
)
def test_rewritten_resume(on_resume: Change, on_resumed: Change) -> None:
    first = connected(agent_side(LIBERAL), policy=LIBERAL)
    side, state = first.agent_side, first.cut()
    _no_session(_attack(on_resume, on_resumed, state, side))
    assert connected(side, state, policy=LIBERAL).client.resumed
