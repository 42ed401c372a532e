"""Whom the client trusts: an agent pinned at pairing, or what an administrator says stands in for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from myclerk_protocol import signatures
from myclerk_protocol.events import Established
from myclerk_protocol.mesh import dare, profiles, udf
from myclerk_protocol.mesh.authorities import Authority
from myclerk_protocol.mesh.connections import HostAssertion, parse_host_connection
from myclerk_protocol.mesh.profiles import Profile, ProfileKind
from myclerk_protocol.status import OperationError, Unauthorized

from .environment import SYSTEM
from .errors import AgentNotTrusted
from .known import KnownBoard, KnownBoards

log = logging.getLogger("myclerk.client")
CLOCK_WARNING = 300


class PinnedAgent:
    """Authenticates against a board paired earlier: its stored keys must sign the transcript.

    An agent with other keys is pinned in its place if an administrator of the board says that it stands in for
    it (docs/trust.md).
    """

    def __init__(self, board: KnownBoard, boards: KnownBoards) -> None:
        self._board = board
        self._boards = boards
        self._identity = boards.identity()
        self._showed_connection = b""

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        """Check the agent's proof; our registration. Raises AgentNotTrusted."""
        board = self._board
        warn_about_clock(proof)
        try:
            profile = profiles.parse_profile(proof["profile"], ProfileKind.HOST)
            if profile.fingerprint != board.fingerprint:
                board = _stands_in(board, profile, proof)
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
        self._remember(replace(board, administrators=written(profile)))
        return self.again(transcript)

    def again(self, transcript: bytes) -> Mapping[str, Any]:
        """A registration by device and signature."""
        signature, pq_signature = self._identity.client_proof(transcript, self._board.fingerprint)
        return {"device": self._identity.fingerprint, "signature": signature, "pq_signature": pq_signature}

    def follow_up(
        self, answer: Mapping[str, Any] | OperationError, transcript: bytes
    ) -> Mapping[str, Any] | None:
        """Show the assertion by which this device was admitted to an agent that has forgotten it.

        Only to one whose administrator signed it, and once in a session.
        """
        connection = self._board.connection.encode()
        if not isinstance(answer, Unauthorized) or not connection or self._showed_connection == transcript:
            return None
        signer = dare.parse(connection).signer
        if signer is None or udf.compact(signer) != answer.details.get("administrator"):
            return None
        self._showed_connection = transcript
        public = self._identity.pq_public
        return {**self.again(transcript), "connection": connection, "pq_public": public}

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
        self._remember(replace(board, post_quantum=post_quantum, tier=session.tier))

    def _remember(self, board: KnownBoard) -> None:
        """Keep what has changed of the board."""
        before = self._board
        if board == before:
            return
        changed = (
            "fingerprint", "public_key", "pq_public", "administrators", "post_quantum", "tier",
        )  # fmt: skip
        self._boards.update(before.name, **{name: getattr(board, name) for name in changed})
        self._board = board


def _stands_in(board: KnownBoard, profile: Profile, proof: Mapping[str, Any]) -> KnownBoard:
    """The board with the keys of an agent that stands in for it, by the word of one of its administrators.

    Raises Unauthorized or BadRequest unless there is that word, at least as strong as what was pinned.
    """
    envelope = proof.get("connection")
    if envelope is None or not board.administrators:
        raise Unauthorized("it has another key, and no administrator's word for it")
    assertion = HostAssertion(
        envelope, proof.get("connection_pq_public"), proof.get("connection_pq_signature")
    )
    said, signer = parse_host_connection(assertion, profile, read(board.administrators))
    if board.fingerprint not in said.replaces:
        raise Unauthorized("an administrator vouches for it, but not in this board's place")
    pq_public = proof.get("pq_public")
    profiles.check_pq_public(profile, pq_public)
    if board.pq_public and (signer.pq_digest is None or pq_public is None):
        raise Unauthorized(
            "an administrator vouches for it, but not with post-quantum keys, as the board had"
        )
    log.warning(
        "%s: another agent, %s, stands in for it by the word of its administrator %s",
        board.name, udf.grouped(profile.fingerprint), udf.grouped(signer.fingerprint),
    )  # fmt: skip
    pinned = pq_public if pq_public is not None and signatures.available() else b""
    return replace(
        board,
        fingerprint=profile.fingerprint,
        public_key=profile.public_key.hex(),
        pq_public=pinned.hex(),
    )


def written(profile: Profile) -> tuple[tuple[str, str], ...]:
    """The administrators that an agent's profile names, as a KnownBoard has them."""
    return tuple((a.public.hex(), (a.pq_digest or b"").hex()) for a in profile.administrators)


def read(administrators: tuple[tuple[str, str], ...]) -> list[Authority]:
    """What :func:`written` wrote."""
    return [
        Authority(bytes.fromhex(public), bytes.fromhex(digest) or None) for public, digest in administrators
    ]


def warn_about_clock(proof: Mapping[str, Any]) -> None:
    """Warn when the agent's clock differs from ours by more than 300 s."""
    difference = proof["time"] - SYSTEM.wall()
    if abs(difference) > CLOCK_WARNING:
        log.warning("the board's clock differs from ours by %d s", difference)
