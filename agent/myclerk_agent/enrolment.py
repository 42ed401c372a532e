"""Who a client is, and whether it is admitted: CLIENT_REGISTER judged (docs/protocol.md)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from myclerk_protocol import signatures
from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh import messages, pin, udf
from myclerk_protocol.mesh.authorities import AdministratorKey, Authority
from myclerk_protocol.mesh.catalog import CatalogedDevice
from myclerk_protocol.mesh.connections import Connection, connect, parse_connection
from myclerk_protocol.mesh.profiles import (
    Identity,
    Profile,
    ProfileKind,
    check_pq_public,
    parse_profile,
    verify_client,
)
from myclerk_protocol.status import BadRequest, Conflict, Forbidden, NotFound, Unauthorized

from .log import clean, event
from .store import Applicant, Device, Request, Store, StoreError

T = TypeVar("T")

ASSERTED_ACCESS = 0
"""Access of a device that showed an assertion but is not in the catalog: it is known, nothing is granted."""

REVOKED = (
    "this device was revoked; it is admitted again only under a new identity, without its old device.key"
)

log = logging.getLogger("myclerk.enrolment")


@dataclass(frozen=True, slots=True)
class Registration:
    """The judgement of a CLIENT_REGISTER that is no error.

    ``fields`` are the answer's, by Python name, without those of the ticket; "Accept" authenticates the
    session as ``fingerprint``.
    """

    result: Literal["Accept", "Reject", "Pending"]
    fingerprint: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Enrolment:
    """Judges registrations for one agent. Runs on the event loop; a call takes about a millisecond.

    ``administrator`` signs the connection assertions and is the key that ``identity`` names for this; those
    of ``further`` administrators are believed too. ``without_pin`` lets devices ask without a PIN.
    ``post_quantum`` pins the ML-DSA-65 keys of devices, where these can be verified here. ``on_decision`` is
    called with a fingerprint when its request was decided.
    """

    def __init__(
        self,
        identity: Identity,
        administrator: AdministratorKey,
        store: Store,
        environment: Environment,
        *,
        further: Sequence[Authority] = (),
        without_pin: bool = False,
        post_quantum: bool = True,
    ) -> None:
        self.on_decision: list[Callable[[str], None]] = []
        self._identity = identity
        self._administrator = administrator
        self._believed = (administrator.public, *(authority.public for authority in further))
        self._store = store
        self._environment = environment
        self._without_pin = without_pin
        self._post_quantum = post_quantum and signatures.available()
        self._account = udf.grouped(identity.fingerprint)
        self._decoy = pin.salted_pin(pin.new_pin(environment.random))
        self._waiting: set[str] = set()

    def register(self, request: Mapping[str, Any], transcript: bytes) -> Registration:
        """Judge the decoded fields of a CLIENT_REGISTER in the session of ``transcript``.

        Raises Unauthorized, BadRequest (naming the key), TooMany, or StoreError when nothing can be stored.
        """
        if "request" in request or "device" not in request:
            return self._enrol(request, transcript)
        fingerprint = udf.check_fingerprint(_required(request, "device", str))
        device = self._store.device(fingerprint)
        if device is None:
            return self._by_assertion(fingerprint, request, transcript)
        self._verify(device.public_key, device.pq_public, request, transcript)
        if device.revoked_at is not None:
            raise Unauthorized(REVOKED)
        self._note_login(fingerprint)
        return Registration("Accept", fingerprint)

    # -- requests for admission that an administrator decides ----------------------------------------------

    def pending(self) -> list[Request]:
        """The requests without a PIN that are undecided, oldest first."""
        return self._store.requests()

    def decide(
        self, fingerprint: str, accept: bool, *, access: int = 1, administrator: bool = False
    ) -> Device | None:
        """Accept a request with ``access`` (0-4), which gives the device, or reject it, which gives None.

        Raises NotFound when that device has not asked, Forbidden when it was revoked.
        """
        device = None
        if accept:
            device = self._store.accept(fingerprint, access=access, administrator=administrator)
        else:
            self._store.reject(fingerprint)
        event(log, logging.INFO, "request decided", device=fingerprint, accepted=accept)
        self.check_decisions()
        return device

    def check_decisions(self) -> None:
        """Call ``on_decision`` for what was decided, here or by another process, since the last time."""
        if not self._waiting:
            return
        decided = self._waiting - {request.fingerprint for request in self._store.requests()}
        self._waiting -= decided
        for fingerprint in decided:
            for callback in self.on_decision:
                callback(fingerprint)

    # -- known devices -------------------------------------------------------------------------------------

    def _by_assertion(self, fingerprint: str, request: Mapping[str, Any], transcript: bytes) -> Registration:
        """A device that the catalog lacks, but that shows an assertion by this agent's administrator."""
        if "connection" not in request:
            signer = udf.compact(udf.key_fingerprint(self._administrator.public))
            raise Unauthorized("this device is not enrolled here", administrator=signer)
        assertion = parse_connection(_required(request, "connection", bytes), *self._believed)
        if not udf.same(assertion.subject, fingerprint):
            raise Unauthorized("`connection` admits another device")
        pinned = self._check_keys(assertion, request, transcript)
        applicant = Applicant(fingerprint, b"", assertion.public_key, pinned, "")
        self._store.admit(applicant, access=ASSERTED_ACCESS, administrator=False)
        event(log, logging.WARNING, "device admitted by assertion, without access", device=fingerprint)
        return Registration("Accept", fingerprint)

    def _note_login(self, fingerprint: str) -> None:
        """The device has arrived: its invitation has served. A full disk keeps nobody out."""
        try:
            self._store.touch(fingerprint)
        except StoreError as error:
            event(log, logging.WARNING, "login not noted", device=fingerprint, reason=error.message)

    # -- enrolment -----------------------------------------------------------------------------------------

    def _enrol(self, request: Mapping[str, Any], transcript: bytes) -> Registration:
        profile = parse_profile(_required(request, "profile", bytes), ProfileKind.DEVICE)
        asked = pin.parse_request(_required(request, "request", bytes))
        asked.check(transcript, profile.fingerprint)
        pinned = self._check_keys(profile, request, transcript)
        applicant = Applicant(
            profile.fingerprint, profile.raw, profile.public_key, pinned, clean(profile.description)
        )
        if asked.pin_id is None or asked.pin_witness is None:
            return self._enrol_without_pin(applicant, profile, asked)
        salted = self._check_pin(asked.pin_id, asked.pin_witness, profile, transcript)
        witness = pin.agent_witness(salted, transcript, self._identity.profile.raw, asked.pin_witness)
        try:
            device = self._store.spend_pin(udf.compact(asked.pin_id), applicant)
        except Forbidden:  # only who knows a PIN learns this
            raise Unauthorized(REVOKED) from None
        except (NotFound, Conflict):
            raise Unauthorized(pin.NOT_ACCEPTED) from None
        return self._accepted(device, profile, asked, agent_witness=witness)

    def _check_pin(self, pin_id: str, shown: bytes, profile: Profile, transcript: bytes) -> str:
        """saltedPIN, once the client proved to know the PIN. An unknown PinId costs the same computation.

        The PIN of the board's label admits nobody to a board that has admitted another device.
        """
        known = self._store.find_pin(udf.compact(pin_id))
        salted = self._decoy if known is None else udf.present(udf.Kind.AUTHENTICATOR, known.salted_pin)
        pin.check_witness(salted, self._account, transcript, profile.raw, shown)
        if known is None or (known.expires_at == math.inf and self._admitted_another(profile.fingerprint)):
            raise Unauthorized(pin.NOT_ACCEPTED)
        return salted

    def _admitted_another(self, fingerprint: str) -> bool:
        return any(device.fingerprint != fingerprint for device in self._store.devices())

    def _enrol_without_pin(
        self, applicant: Applicant, profile: Profile, asked: pin.ConnectionRequest
    ) -> Registration:
        """No PIN: a repeat of a device that is admitted already, or a request for an administrator."""
        device = self._store.device(applicant.fingerprint)
        if device is not None:
            return self._accepted(device, profile, asked)
        if not self._without_pin:
            raise Unauthorized(pin.NOT_ACCEPTED)
        now = self._environment.wall()
        request = self._store.find_request(applicant.fingerprint)
        if request is None:
            request = self._note_request(applicant, profile, asked)
        result: Literal["Reject", "Pending"] = "Pending" if request.rejected_at is None else "Reject"
        if result == "Pending":
            self._waiting.add(applicant.fingerprint)
        said = messages.respond(asked, result, self._administrator, now)
        answer: dict[str, Any] = {"result": result, "response": said}
        if result == "Pending":
            answer["acknowledgement"] = request.acknowledgement
        return Registration(result, applicant.fingerprint, answer)

    def _note_request(self, applicant: Applicant, profile: Profile, asked: pin.ConnectionRequest) -> Request:
        environment, host = self._environment, self._identity.key
        made = messages.acknowledge(environment.random, environment.wall(), asked, profile, host)
        request = self._store.request(applicant, made.raw)
        event(
            log, logging.WARNING, "device asks for admission", device=applicant.fingerprint,
            witness=made.witness,
        )  # fmt: skip
        return request

    def _accepted(
        self, device: Device, profile: Profile, asked: pin.ConnectionRequest, **fields: Any
    ) -> Registration:
        """The answer to an admitted device. One that shows another profile than it enrolled with is refused:
        its stored ML-DSA-65 key would not have been asked for.
        """
        if device.revoked_at is not None or device.profile != profile.raw:
            raise Unauthorized(pin.NOT_ACCEPTED)
        now = self._environment.wall()
        assertion = connect(profile, self._administrator, now)
        entry = CatalogedDevice(
            host=self._identity.profile,
            device=profile,
            connection=parse_connection(assertion, self._administrator.public),
        )
        event(log, logging.INFO, "device admitted", device=device.fingerprint, description=device.description)
        answer = {
            "result": "Accept",
            "connection": assertion,
            "device": entry.to_bytes(),
            "response": messages.respond(asked, "Accept", self._administrator, now, entry),
            **fields,
        }
        return Registration("Accept", device.fingerprint, answer)

    # -- signatures ----------------------------------------------------------------------------------------

    def _check_keys(
        self, owner: Profile | Connection, request: Mapping[str, Any], transcript: bytes
    ) -> bytes | None:
        """Verify the signatures by the keys that ``owner`` names; the ML-DSA-65 key to pin, or None."""
        pq_public = request.get("pq_public")
        check_pq_public(owner, pq_public)
        pinned = pq_public if self._post_quantum else None
        self._verify(owner.public_key, pinned, request, transcript)
        return pinned

    def _verify(
        self, public_key: bytes, pq_public: bytes | None, request: Mapping[str, Any], transcript: bytes
    ) -> None:
        verify_client(
            public_key,
            transcript,
            self._identity.fingerprint,
            _required(request, "signature", bytes),
            pq_public=pq_public,
            pq_signature=request.get("pq_signature"),
        )


def _required(request: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """The field ``name``. Raises BadRequest naming its key when it is not there."""
    value = request.get(name)
    if not isinstance(value, kind):
        raise BadRequest(f"`{name}` is missing", key=name)
    return value
