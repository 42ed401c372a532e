"""SESSION_INIT and SESSION_ACK as the agent speaks them, and what it selects (docs/protocol.md, 6)."""

from __future__ import annotations

import pytest
from pair import IDENTITIES, WORK, Connection, agent_side, connected, status_of
from raw import RawClient, authenticated

from myclerk_protocol import header, payloads
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh.profiles import verify_agent
from myclerk_protocol.operations import Opcode
from myclerk_protocol.status import Status

ANY_MODE = Policy(require_pq=False)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("version", [0, 1])
def test_ack_header_and_map(version: int, mode: Mode) -> None:
    client = RawClient(agent_side(ANY_MODE, ahead=50.0), version, mode)
    ack, complete = client.deliver(client.handshake_message(client.fields()))
    head, payload = header.decode_plain(ack)
    fields = payloads.unpack(payload)
    assert head == header.Header(
        version,
        4,
        opcode=Opcode.SESSION_ACK,
        session_id=fields["session-id"],
        timestamp=1_800_000_050,
        request_id=version,
    )
    assert fields["session-id"] != 0
    expected = {
        "session-id", "nonce", "selected-tier", "selected-kex-mode", "x25519-public", "selected-capabilities",
    }  # fmt: skip
    assert set(fields) == expected | ({"mlkem-ciphertext"} if mode is Mode.HYBRID else set())
    assert fields["selected-kex-mode"] == mode
    assert len(fields["nonce"]) == 8
    assert len(fields["x25519-public"]) == 32
    assert len(fields.get("mlkem-ciphertext", bytes(1088))) == 1088

    head, _ = header.decode(complete)
    assert (head.version, head.tier, head.encrypted, head.push, head.compressed) == (
        version,
        4,
        True,
        True,
        False,
    )
    assert (head.opcode, head.request_id) == (Opcode.KEY_EXCHANGE_COMPLETE, version)
    assert (head.sequence, head.key_id, head.session_id) == (0, 1, fields["session-id"])


@pytest.mark.parametrize("mode", Mode)
def test_agent_proves_itself_over_the_transcript(mode: Mode) -> None:
    client = RawClient(agent_side(ANY_MODE, ahead=9.0), mode=mode)
    fields = client.handshake()
    assert fields["time"] == 1_800_000_009
    assert fields["profile"] == IDENTITIES["agent"].profile.raw
    public = IDENTITIES["agent"].profile.public_key
    verify_agent(public, client.transcript, fields["signature"])


def test_session_ids_are_random_unique_and_never_zero() -> None:
    agent = agent_side()
    clients = [RawClient(agent) for _ in range(20)]
    for client in clients:
        client.handshake()
    ids = {client.session_id for client in clients}
    assert len(ids) == 20
    assert 0 not in ids


def test_second_attempt_bears_request_id_1_again_and_requests_count_from_2() -> None:
    client = RawClient(agent_side())
    head, _ = client.refused(client.handshake_message(b""))
    assert head.request_id == 1
    client.handshake()
    (answer,) = client.send(Opcode.KEEPALIVE, request_id=1)
    assert status_of(answer.payload) == Status.BAD_REQUEST
    (answer,) = client.send(Opcode.KEEPALIVE, request_id=2)
    assert status_of(answer.payload) == 0


@pytest.mark.parametrize("mode", Mode)
def test_pair_agrees_and_reports_the_mode(mode: Mode) -> None:
    connection = connected(agent_side(ANY_MODE), mode=mode)
    classical = mode is Mode.CLASSICAL
    assert connection.client_events[0].classical is classical
    assert connection.agent_events[0].classical is classical
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1


def test_classical_only_is_forbidden_by_default() -> None:
    connection = Connection(agent_side(), mode=Mode.CLASSICAL)
    connection.pump()
    assert connection.end_of_client.error.status is Status.FORBIDDEN
    assert len(connection.agent_side.registry) == 0


# -- tier ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "allowed", "selected"), [(None, 5, 5), (5, 5, 5), (4, 5, 4), (5, 4, 4), (None, 4, 4), (4, 4, 4)]
)
def test_selected_tier_is_the_lower_of_both_limits(asked: int | None, allowed: int, selected: int) -> None:
    client = RawClient(agent_side(Policy(max_tier=allowed)))
    ack, _ = client.deliver(client.handshake_message(client.fields(max_tier=asked)))
    assert payloads.unpack(header.decode_plain(ack)[1])["selected-tier"] == selected


def test_tier_above_the_selected_one_is_bad_request() -> None:
    client = authenticated(agent_side(), max_tier=4)
    (answer,) = client.send(WORK, tier=5)
    assert (answer.tier, status_of(answer.payload)) == (5, Status.BAD_REQUEST)
    (answer,) = client.send(WORK, tier=4)
    assert (answer.tier, status_of(answer.payload)) == (4, 0)


@pytest.mark.parametrize("tier", [3, 4, 5])
@pytest.mark.parametrize("version", [0, 1])
def test_every_tier_up_to_the_selected_one_is_served(version: int, tier: int) -> None:
    client = authenticated(agent_side(), version)
    (answer,) = client.send(WORK, b"\x81\xa1a\x01", tier=tier)
    assert (answer.version, answer.tier, answer.opcode) == (version, tier, WORK)
    assert client.side.executed[0][2] == b"\x81\xa1a\x01"


# -- capabilities --------------------------------------------------------------------------------------------


def _selected(
    policy: Policy, offered: list[int] | None, mode: Mode = Mode.HYBRID, version: int = 1
) -> list[int]:
    client = RawClient(agent_side(policy), version, mode)
    ack, _ = client.deliver(client.handshake_message(client.fields(capabilities=offered)))
    selected: list[int] = payloads.unpack(header.decode_plain(ack)[1])["selected-capabilities"]
    return selected


AES = Policy(aes=True, require_pq=False)


@pytest.mark.parametrize(
    ("policy", "offered", "selected"),
    [
        (ANY_MODE, None, [2]),
        (ANY_MODE, [2], [2]),
        (ANY_MODE, [2, 3], [2]),
        (AES, [2, 3], [3]),
        (AES, [3], [3]),
        (AES, None, [2]),
        (AES, [2], [2]),
        (ANY_MODE, [0, 2], [2]),
        (ANY_MODE, [1, 2], [1, 2]),
        (Policy(zstd=False), [1, 2], [2]),
        (ANY_MODE, [2, 4], [2]),
        (ANY_MODE, [2, 99, 70000], [2]),
        (ANY_MODE, [2, 2], [2]),
    ],
)
def test_selected_capabilities(policy: Policy, offered: list[int] | None, selected: list[int]) -> None:
    assert _selected(policy, offered) == selected


@pytest.mark.parametrize("policy", [ANY_MODE, AES])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("mode", Mode)
def test_selected_is_a_subset_with_exactly_one_aead(policy: Policy, version: int, mode: Mode) -> None:
    offered = list(range(20))
    selected = _selected(policy, offered, mode, version)
    assert set(selected) <= set(offered)
    assert len({2, 3} & set(selected)) == 1
    assert not {0, 4} & set(selected)


@pytest.mark.parametrize("offered", [[], [0], [1, 5], [3], [9, 4]])
def test_offer_without_a_usable_aead_is_unsupported(offered: list[int]) -> None:
    client = RawClient(agent_side())
    _, fields = client.refused(client.handshake_message(client.fields(capabilities=offered)))
    assert fields["status"] == Status.UNSUPPORTED


@pytest.mark.parametrize(("client_aes", "agent_aes"), [(True, True), (True, False), (False, True)])
def test_aes_needs_both_sides(client_aes: bool, agent_aes: bool) -> None:
    connection = connected(agent_side(Policy(aes=agent_aes)), policy=Policy(aes=client_aes))
    assert connection.client.state.selected.aead.name == (
        "AES256GCM" if client_aes and agent_aes else "CHACHA20"
    )
    connection.client.request(WORK, b"")
    connection.pump()
    assert len(connection.answers) == 1


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("tier", [3, 4, 5])
def test_aes_session_whole(version: int, tier: int) -> None:
    client = authenticated(agent_side(AES), version, capabilities=[3])
    (answer,) = client.send(WORK, b"\x81\xa1a\x01", tier=tier)
    assert status_of(answer.payload) == 0


def test_agent_that_keeps_as_many_sessions_as_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myclerk_protocol.records.MAX_SESSIONS", 2)
    agent = agent_side()
    clients = [authenticated(agent) for _ in range(2)]
    third = RawClient(agent)
    _, fields = third.refused(third.handshake_message(third.fields()))
    assert fields["status"] == Status.TOO_MANY
    clients[0].send(Opcode.SESSION_CLOSE)
    third.handshake()
    assert third.session_id
