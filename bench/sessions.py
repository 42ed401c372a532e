"""An agent and an enrolled client in one process, joined without a network: the CPU time of each is seen."""

from __future__ import annotations

import os
import time
from pathlib import Path
from time import thread_time

from myclerk_agent.enrolment import Enrolment
from myclerk_agent.environment import SYSTEM
from myclerk_agent.store import Applicant, Store
from myclerk_client.files import write_private
from myclerk_client.known import KnownBoard, KnownBoards
from myclerk_client.trust import PinnedAgent
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.events import Registered, Registration
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh.authorities import AdministratorKey
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.records import SessionRegistry


def write_identity(directory: Path, *, post_quantum: bool) -> Identity:
    """A new client identity where :class:`KnownBoards` looks for it."""
    identity = Identity.create("device", "bench", os.urandom, time.time(), post_quantum)
    write_private(directory / "device.key", identity.to_bytes())
    return identity


class SessionPair:
    """Both ends, as the product builds them, with the agent's database in ``directory``."""

    def __init__(self, directory: Path, *, post_quantum: bool) -> None:
        administrator = AdministratorKey.create(os.urandom, post_quantum)
        self._host = host = Identity.create(
            "host", "bench", os.urandom, time.time(), post_quantum, administrators=(administrator.authority,)
        )
        device = write_identity(directory / "client", post_quantum=post_quantum)
        self._store = Store(directory / "agent.db", SYSTEM)
        profile = device.profile
        applicant = Applicant(device.fingerprint, profile.raw, profile.public_key, device.pq_public, "bench")
        self._store.admit(applicant, access=3, administrator=False)
        self._enrolment = Enrolment(host, administrator, self._store, SYSTEM, post_quantum=post_quantum)
        self._policy = Policy()
        self._registry = SessionRegistry(SYSTEM, self._policy, lambda record: None)
        public, pq_public = host.profile.public_key.hex(), (host.pq_public or b"").hex()
        known = KnownBoard("bench", "localhost", 1, host.fingerprint, public, pq_public)
        self._trust = PinnedAgent(known, KnownBoards(directory / "client"))

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def handshake(self) -> tuple[float, float]:
        """One handshake and registration: CPU seconds of the agent, then of the client."""
        agent_time = client_time = 0.0
        start = thread_time()
        client = ClientSession(SYSTEM, self._trust)
        client.start()
        outgoing = client.outbox.take()
        client_time += thread_time() - start
        agent = AgentSession(self._registry, SYSTEM, self._policy, self._proof)
        registered = False
        while not registered:
            start = thread_time()
            self._serve(agent, outgoing)
            answers = agent.outbox.take()
            agent_time += thread_time() - start
            assert answers, "the handshake failed"
            start = thread_time()
            events = [event for message in answers for event in client.receive(message)]
            outgoing = client.outbox.take()
            client_time += thread_time() - start
            registered = any(isinstance(event, Registered) for event in events)
        agent.end("measured", linger=False)
        return agent_time, client_time

    def _serve(self, agent: AgentSession, messages: list[bytes]) -> None:
        for message in messages:
            for event in agent.receive(message):
                if isinstance(event, Registration):
                    decision = self._enrolment.register(event.fields, event.transcript)
                    agent.accept(event, decision.fingerprint, decision.fields)

    def _proof(self, transcript: bytes) -> dict[str, object]:
        signature, pq_signature = self._host.agent_proof(transcript)
        return {
            "profile": self._host.profile.raw,
            "signature": signature,
            "pq_public": self._host.pq_public,
            "pq_signature": pq_signature,
            "time": int(time.time()),
        }
