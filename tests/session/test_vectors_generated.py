"""The published test vectors are what the generator makes, and what whole sessions send when they draw alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pair import Trust

from myclerk_protocol import kem
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.environment import Environment
from myclerk_protocol.events import Registration
from myclerk_protocol.handshake import Policy
from myclerk_protocol.records import SessionRegistry

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "vectors"


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, Any]]:
    """The generator's modules by name."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import vector_parts
        import vectors

        yield {"vectors": vectors, "parts": vector_parts}
    finally:
        sys.path.remove(str(ROOT / "tools"))


def test_files_are_what_the_generator_makes(tools: dict[str, Any]) -> None:
    made = {
        name: tools["vectors"].render(document) for name, document in tools["vectors"].documents().items()
    }
    for name, text in made.items():
        assert (VECTORS / name).read_text("utf-8") == text, f"run tools/vectors.py: {name} is not up to date"
    assert {path.name for path in VECTORS.iterdir()} == {*made, "recorded.json", "README.md"}


def test_readme_names_every_file() -> None:
    text = (VECTORS / "README.md").read_text("utf-8")
    assert all(f"`{path.name}`" in text for path in VECTORS.glob("*.json"))


def test_generator_knows_no_other_arguments(
    tools: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools["vectors"].main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err


class Replay:
    """A client and an agent whose randomness comes from the vectors; what they send is compared byte by byte."""

    def __init__(self, tools: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts = tools["parts"]
        self.documents = tools["vectors"].documents()
        self.people = {kind: self.parts.identity(kind) for kind in ("host", "device")}
        recorded = self.parts.RecordedKem(self.parts.recorded()["ml-kem-768"]["handshake"])
        monkeypatch.setattr(kem, "default", lambda: recorded)
        self.state = ClientState()
        sealing_key = bytes.fromhex(self.documents["ticket.json"]["sealing-key"])
        policy = Policy(require_pq=False)
        self.registry = SessionRegistry(self.environment(sealing_key), policy, lambda record: None)
        self.policy = policy

    def environment(self, *draws: bytes, ahead: int = 0) -> Environment:
        made: Environment = self.parts.environment(*draws, wall=self.parts.WALL + ahead)
        return made

    def connect(self, case: dict[str, Any]) -> tuple[ClientSession, AgentSession]:
        """Both ends of a connection that draw what ``case`` says."""
        nonces = {side: bytes.fromhex(case[f"{side}-nonce"]) for side in ("client", "agent")}
        private = {side: bytes.fromhex(case[f"{side}-x25519-private"]) for side in ("client", "agent")}
        drawing = self.environment(nonces["client"], private["client"], ahead=self.parts.CLIENT_AHEAD)
        trust = Trust(self.people["device"], self.people["host"])
        client = ClientSession(drawing, trust, self.state, self.policy)
        session_id = case["session-id"].to_bytes(2, "big")
        self.registry._environment = drawing = self.environment(private["agent"], nonces["agent"], session_id)
        return client, AgentSession(self.registry, drawing, self.policy, self.proof)

    def proof(self, transcript: bytes) -> dict[str, Any]:
        host = self.people["host"]
        signature = host.agent_proof(transcript).signature
        return {"profile": host.profile.raw, "signature": signature, "time": self.parts.WALL}


def _sent(session: ClientSession | AgentSession) -> list[str]:
    return [message.hex() for message in session.outbox.take()]


def test_whole_sessions_send_the_vectors(tools: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    replay = Replay(tools, monkeypatch)
    first, ticket = replay.documents["handshake.json"][0], replay.documents["ticket.json"]
    client, agent = replay.connect(first)
    client.start()
    assert _sent(client) == [first["session-init"]]
    agent.receive(bytes.fromhex(first["session-init"]))
    answers = [first["session-ack"], first["key-exchange-complete"]["message"]]
    assert _sent(agent) == answers
    for answer in answers:
        client.receive(bytes.fromhex(answer))
    assert _sent(client) == [first["client-register"]["message"]]
    (event,) = (
        e
        for e in agent.receive(bytes.fromhex(first["client-register"]["message"]))
        if isinstance(e, Registration)
    )
    agent.accept(event, replay.people["device"].fingerprint, {})
    assert agent.record is not None
    agent.record.holdings = "something"
    assert _sent(agent) == [ticket["client-register-answer"]["message"]]
    client.receive(bytes.fromhex(ticket["client-register-answer"]["message"]))
    assert replay.state.tickets[0].key.hex() == ticket["ticket-key"]

    client.rotate(fresh=False)
    _rotates(client, agent, replay.documents["rotation.json"][0])
    client.end("cut", linger=True)
    agent.end("cut", linger=True)
    _resumes(replay)


def _rotates(client: ClientSession, agent: AgentSession, vector: dict[str, Any]) -> None:
    ask, answer, complete = (message["message"] for message in vector["messages"][:3])
    assert _sent(client) == [ask]
    agent.receive(bytes.fromhex(ask))
    assert _sent(agent) == [answer]
    client.receive(bytes.fromhex(answer))
    assert _sent(client) == [complete]
    agent.receive(bytes.fromhex(complete))
    assert agent._channel is not None
    assert agent._channel.receive_key.hex() == vector["new-key"]


def _resumes(replay: Replay) -> None:
    vector = replay.documents["resume.json"]
    client, agent = replay.connect(vector)
    client.start()
    assert _sent(client) == [vector["session-resume"]]
    agent.receive(bytes.fromhex(vector["session-resume"]))
    answers = [vector["session-resumed"], vector["key-exchange-complete"]["message"]]
    assert _sent(agent) == answers
    for answer in answers:
        client.receive(bytes.fromhex(answer))
    assert _sent(client)[0] == vector["proof"]["message"]
    agent.receive(bytes.fromhex(vector["proof"]["message"]))
    assert agent.phase.name == "AUTHENTICATED"


def test_agent_speaks_version_0_as_the_vectors_do(
    tools: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replay = Replay(tools, monkeypatch)
    case = next(case for case in replay.documents["handshake.json"] if case["version"] == 0)
    _, agent = replay.connect(case)
    agent.receive(bytes.fromhex(case["session-init"]))
    assert _sent(agent) == [case["session-ack"], case["key-exchange-complete"]["message"]]
    events = agent.receive(bytes.fromhex(case["client-register"]["message"]))
    assert [type(event) for event in events] == [Registration]


def test_what_is_recorded_can_be_drawn_anew(tools: dict[str, Any]) -> None:
    pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    parts = tools["parts"]
    drawn = parts.record_kem()
    assert {name: set(values) for name, values in drawn.items()} == {
        name: set(values) for name, values in parts.recorded()["ml-kem-768"].items()
    }
    provider = parts.RecordedKem(drawn["handshake"])
    public, private = provider.keygen()
    ciphertext, secret = provider.encapsulate(public)
    assert provider.decapsulate(private, ciphertext) == secret
    signed = parts.record_signatures({"agent": b"message"})["agent"]
    assert set(signed) == set(parts.recorded()["ml-dsa-65"]["agent"])
