"""Whom the client trusts: an agent pinned at pairing, or one that proves to know an invitation's PIN."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from myclerk_protocol import signatures
from myclerk_protocol.events import Established
from myclerk_protocol.mesh import pin as pins
from myclerk_protocol.mesh import profiles, udf
from myclerk_protocol.mesh.link import Link as Invitation
from myclerk_protocol.mesh.profiles import Profile, ProfileKind
from myclerk_protocol.status import OperationError, Unauthorized

from .environment import SYSTEM
from .errors import AgentNotTrusted
from .known import KnownBoard, KnownBoards

log = logging.getLogger("myclerk.client")
CLOCK_WARNING = 300


class PinnedAgent:
    """Authenticates against a board paired earlier: its stored keys must sign the transcript."""

    def __init__(self, board: KnownBoard, boards: KnownBoards) -> None:
        self._board = board
        self._boards = boards
        self._identity = boards.identity()

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        """Check the agent's proof; our registration. Raises AgentNotTrusted."""
        board = self._board
        _warn_about_clock(proof)
        try:
            profiles.parse_profile(proof["profile"], ProfileKind.HOST, fingerprint=board.fingerprint)
            profiles.verify_agent(
                bytes.fromhex(board.public_key),
                transcript,
                proof["signature"],
                pq_public=bytes.fromhex(board.pq_public) or None,
                pq_signature=proof.get("pq_signature"),
            )
        except OperationError as error:
            raise AgentNotTrusted(
                f"the agent at {board.host}:{board.port} is not the paired board {board.name}: {error.message}"
            ) from None
        return self.again(transcript)

    def again(self, transcript: bytes) -> Mapping[str, Any]:
        """A registration by device and signature."""
        signature, pq_signature = self._identity.client_proof(transcript, self._board.fingerprint)
        return {"device": self._identity.fingerprint, "signature": signature, "pq_signature": pq_signature}

    def registered(self, fields: Mapping[str, Any]) -> None:
        """Judge the answer: a refusal by an administrator is an error."""
        if fields.get("result", "Accept") != "Accept":
            raise Unauthorized("the board's administrator does not admit this device")

    def opened(self, session: Established) -> None:
        """Warn when this session is weaker than the last one was (draft section 10.3), and remember it."""
        board, post_quantum = self._board, not session.classical
        if board.post_quantum and not post_quantum:
            log.warning("%s: the session is not post-quantum, as the last one was", board.name)
        if session.tier < board.tier:
            log.warning(
                "%s: the session has tier %d, the last one had %d", board.name, session.tier, board.tier
            )
        if (board.post_quantum, board.tier) != (post_quantum, session.tier):
            self._boards.update(board.name, post_quantum=post_quantum, tier=session.tier)


class InvitedAgent:
    """Authenticates with an invitation: the agent must have its fingerprint and prove to know its PIN."""

    def __init__(self, invitation: Invitation, boards: KnownBoards) -> None:
        self._invitation = invitation
        self._identity = boards.identity()
        self._transcript = b""
        self._pin_witness: bytes | None = None
        self._pq_public = b""
        self.profile: Profile | None = None
        self.accepted = False

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        """Check the agent's proof; our request for admission. Raises AgentNotTrusted."""
        _warn_about_clock(proof)
        try:
            profile = profiles.parse_profile(
                proof["profile"], ProfileKind.HOST, fingerprint=self._invitation.fingerprint
            )
            pq_public = proof.get("pq_public")
            profiles.check_pq_public(profile, pq_public)
            if not signatures.available():  # what cannot be verified here is not pinned either
                pq_public = None
            profiles.verify_agent(
                profile.public_key,
                transcript,
                proof["signature"],
                pq_public=pq_public,
                pq_signature=proof.get("pq_signature"),
            )
        except OperationError as error:
            raise AgentNotTrusted(f"this is not the agent of the invitation: {error.message}") from None
        self.profile, self._transcript, self._pq_public = profile, transcript, pq_public or b""
        identity = self._identity
        request, self._pin_witness = pins.request(
            SYSTEM.random,
            SYSTEM.wall(),
            transcript=transcript,
            account=udf.grouped(profile.fingerprint),
            profile=identity.profile.raw,
            pin=self._invitation.pin,
        )
        signature, pq_signature = identity.client_proof(transcript, profile.fingerprint)
        return {
            "profile": identity.profile.raw,
            "request": request,
            "signature": signature,
            "pq_public": identity.pq_public,
            "pq_signature": pq_signature,
        }

    def again(self, transcript: bytes) -> Mapping[str, Any]:
        """A registration by device and signature: this device is enrolled by now."""
        assert self.profile is not None
        signature, pq_signature = self._identity.client_proof(transcript, self.profile.fingerprint)
        return {"device": self._identity.fingerprint, "signature": signature, "pq_signature": pq_signature}

    def registered(self, fields: Mapping[str, Any]) -> None:
        """Judge the answer; only an Accept whose ``agent-witness`` proves the PIN lets the agent be pinned."""
        if "result" not in fields and self.accepted:
            return
        if fields.get("result") != "Accept":
            raise Unauthorized("the board's administrator does not admit this device")
        assert self.profile is not None
        assert self._pin_witness is not None
        try:
            pins.check_agent_witness(
                pins.salted_pin(self._invitation.pin),
                self._transcript,
                self.profile.raw,
                self._pin_witness,
                fields.get("agent_witness"),
            )
        except OperationError as error:
            raise AgentNotTrusted(error.message) from None
        self.accepted = True

    def board(self, name: str) -> KnownBoard:
        """What to remember of the agent, once it was accepted."""
        assert self.accepted
        assert self.profile is not None
        return KnownBoard(
            name=name,
            host=self._invitation.host,
            port=self._invitation.port,
            fingerprint=self.profile.fingerprint,
            public_key=self.profile.public_key.hex(),
            pq_public=self._pq_public.hex(),
        )


def _warn_about_clock(proof: Mapping[str, Any]) -> None:
    difference = proof["time"] - SYSTEM.wall()
    if abs(difference) > CLOCK_WARNING:
        log.warning("the board's clock differs from ours by %d s", difference)
