"""Pairing as the client sees it: an agent that proves to know an invitation's PIN, or that is asked without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from myclerk_protocol import signatures
from myclerk_protocol.mesh import messages, profiles, udf
from myclerk_protocol.mesh import pin as pins
from myclerk_protocol.mesh.connections import parse_connection
from myclerk_protocol.mesh.link import Link as Invitation
from myclerk_protocol.mesh.profiles import Profile, ProfileKind
from myclerk_protocol.status import OperationError, Unauthorized

from .environment import SYSTEM
from .errors import AgentNotTrusted
from .known import KnownBoard, KnownBoards
from .trust import warn_about_clock, written


class InvitedAgent:
    """Authenticates with an invitation: the agent must have its fingerprint and prove to know its PIN.

    Without a PIN the fingerprint alone tells that it is the right one, and an administrator decides: then
    ``on_pending`` is called with the witness to compare with what the administrator sees. Without a
    fingerprint the PIN alone tells.
    """

    def __init__(
        self,
        invitation: Invitation,
        boards: KnownBoards,
        on_pending: Callable[[str], None] = lambda witness: None,
    ) -> None:
        self._invitation = invitation
        self._identity = boards.identity()
        self._on_pending = on_pending
        self._transcript = b""
        self._pin_witness: bytes | None = None
        self._message_id = ""
        self._pq_public = b""
        self._connection = b""
        self.profile: Profile | None = None
        self.accepted = False

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        """Check the agent's proof; our request for admission. Raises AgentNotTrusted."""
        warn_about_clock(proof)
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
        return self._request()

    def _request(self) -> Mapping[str, Any]:
        assert self.profile is not None
        identity, transcript = self._identity, self._transcript
        request, self._pin_witness = pins.request(
            SYSTEM.random,
            SYSTEM.wall(),
            transcript=transcript,
            account=udf.grouped(self.profile.fingerprint),
            profile=identity.profile.raw,
            pin=self._invitation.pin,
        )
        self._message_id = pins.parse_request(request).message_id
        signature, pq_signature = identity.client_proof(transcript, self.profile.fingerprint)
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

    def follow_up(
        self, answer: Mapping[str, Any] | OperationError, transcript: bytes
    ) -> Mapping[str, Any] | None:
        """Ask again while an administrator has not decided: the agent answers that when it is decided."""
        if isinstance(answer, OperationError) or answer.get("result") != "Pending":
            return None
        self._judge(answer)
        return self._request()

    def registered(self, fields: Mapping[str, Any]) -> None:
        """Judge the answer; only an Accept that is proven lets the agent be pinned."""
        result = fields.get("result")
        if result == "Pending" or (result is None and self.accepted):
            return
        self._judge(fields)
        if result != "Accept":
            raise Unauthorized("the board's administrator does not admit this device")
        self.accepted = True

    def _judge(self, fields: Mapping[str, Any]) -> None:
        """Check every proof in the answer to our request. Raises AgentNotTrusted."""
        assert self.profile is not None
        result = fields.get("result")
        try:
            if self._pin_witness is not None and result != "Reject":
                assert self._invitation.pin is not None
                pins.check_agent_witness(
                    pins.salted_pin(self._invitation.pin),
                    self._transcript,
                    self.profile.raw,
                    self._pin_witness,
                    fields.get("agent_witness"),
                )
            self._check_response(fields.get("response"), result)
            if result == "Pending":
                self._check_acknowledgement(fields.get("acknowledgement"))
            if "connection" in fields:
                self._keep_connection(fields["connection"])
        except OperationError as error:
            raise AgentNotTrusted(error.message) from None

    def _check_response(self, envelope: bytes | None, result: Any) -> None:
        """The decision must be the administrator's own; where there was a PIN that proves enough."""
        assert self.profile is not None
        if envelope is None:
            if self._pin_witness is None:
                raise Unauthorized("the answer is not signed by the board's administrator")
            return
        response = messages.parse_response(envelope, self.profile.administrator, self._message_id)
        if response.result != result:
            raise Unauthorized("the board's administrator says otherwise than the board")

    def _check_acknowledgement(self, envelope: bytes | None) -> None:
        assert self.profile is not None
        if envelope is not None:
            mine = self._identity.profile
            self._on_pending(messages.parse_acknowledgement(envelope, self.profile, mine).witness)

    def _keep_connection(self, envelope: bytes) -> None:
        assert self.profile is not None
        connection = parse_connection(envelope, self.profile.administrator)
        if connection.subject != self._identity.fingerprint:
            raise Unauthorized("the board admits another device than this one")
        self._connection = connection.raw

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
            administrators=written(self.profile),
            connection=self._connection.decode(),
        )
