"""The messages of a connection beside its request: MessagePin, AcknowledgeConnection, RespondConnection.

Mesh Part IV sections 10.6.5, 10.6.7 and 10.6.8. The administrator's key signs what an administrator says
(an invitation, a decision), the agent's own key what the agent says (that it got a request).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..signatures import Ed448Key
from ..status import BadRequest, Unauthorized
from . import dare, pin, udf
from .catalog import CatalogedDevice, parse_device
from .encoding import (
    base64url_encode,
    binary_member,
    check_time,
    dump_json,
    format_time,
    load_json,
    object_of,
    text_member,
)
from .profiles import Profile

MESSAGE_PIN = "MessagePin"
ACKNOWLEDGE = "AcknowledgeConnection"
RESPOND = "RespondConnection"
NONCE_SIZE = 16

Result = Literal["Accept", "Reject", "Pending"]
RESULTS: tuple[Result, ...] = ("Accept", "Reject", "Pending")


@dataclass(frozen=True, slots=True)
class MessagePin:
    """An invitation as its issuer notes it. ``salted`` (saltedPIN) is as secret as the PIN itself.

    ``account`` is the agent's fingerprint with hyphens; ``expires`` is UTC text, None for never.
    ``automatic`` says that the PIN alone admits, without a further decision.
    """

    pin_id: str
    account: str
    salted: str = field(repr=False)
    expires: str | None = None
    automatic: bool = True

    @classmethod
    def issue(cls, secret: str, account: str, expires: float | None = None) -> MessagePin:
        """Note the PIN ``secret``, good until ``expires`` (Unix time). Raises BadRequest for what is no PIN."""
        salted = pin.salted_pin(secret)
        end = None if expires is None else format_time(expires)
        return cls(pin.pin_id(salted, account), account, salted, end)

    def envelope(self, administrator: Ed448Key, now: float) -> bytes:
        """The message, signed by ``administrator`` at ``now`` (Unix time)."""
        body = {
            "MessageId": self.pin_id,
            "Account": self.account,
            **({} if self.expires is None else {"Expires": self.expires}),
            "Automatic": self.automatic,
            "SaltedPin": self.salted,
            "Action": pin.ACTION,
        }
        return _sign(MESSAGE_PIN, body, administrator, now)


def parse_message_pin(data: bytes | memoryview, administrator: bytes) -> MessagePin:
    """The MessagePin in ``data``, verified under ``administrator``, an Ed448 public key.

    Raises BadRequest for a flaw of form, Unauthorized unless that key signed it.
    """
    body = _verified(data, MESSAGE_PIN, administrator)
    account, salted = text_member(body, "Account"), text_member(body, "SaltedPin")
    udf.check_fingerprint(udf.compact(account))
    if text_member(body, "Action") != pin.ACTION or body.get("Automatic") is not True:
        raise BadRequest(f"the MessagePin is not one that admits a {pin.ACTION} by itself")
    if text_member(body, "MessageId") != pin.pin_id(salted, account):
        raise BadRequest("the MessageId of a MessagePin is its PinId")
    expires = check_time(text_member(body, "Expires"), "Expires") if "Expires" in body else None
    return MessagePin(text_member(body, "MessageId"), account, salted, expires)


def witness(agent: bytes, server_nonce: bytes, device: bytes, client_nonce: bytes) -> str:
    """What both ends show for people to compare: 28 characters over both keys (Ed448) and both nonces."""
    ours = hashlib.sha512(udf.key_digest(agent) + server_nonce).digest()
    theirs = hashlib.sha512(udf.key_digest(device) + client_nonce).digest()
    text = base64.b32encode(hashlib.sha512(ours + theirs).digest()).decode("ascii")
    return udf.grouped(text[: udf.FINGERPRINT_CHARACTERS])


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A parsed AcknowledgeConnection: the agent got ``request`` and waits for an administrator.

    ``witness`` is what the administrator compares with what the device shows.
    """

    witness: str
    request: pin.ConnectionRequest
    raw: bytes = field(repr=False)


def acknowledge(
    random: Callable[[int], bytes],
    now: float,
    request: pin.ConnectionRequest,
    device: Profile,
    host: Ed448Key,
) -> Acknowledgement:
    """Acknowledge the ``request`` of ``device`` at ``now`` (Unix time), signed by the agent's key ``host``."""
    nonce = random(NONCE_SIZE)
    value = witness(host.public, nonce, device.public_key, request.client_nonce)
    body = {
        "MessageId": value,
        "EnvelopedRequestConnection": load_json(request.raw, "the request"),
        "ServerNonce": base64url_encode(nonce),
        "Witness": value,
    }
    return Acknowledgement(value, request, _sign(ACKNOWLEDGE, body, host, now))


def parse_acknowledgement(data: bytes | memoryview, host: Profile, device: Profile) -> Acknowledgement:
    """The AcknowledgeConnection by which the agent ``host`` answered a request of ``device``.

    Raises BadRequest for a flaw of form, Unauthorized for another signer, another device's request or a
    witness that is not that of the two.
    """
    body = _verified(data, ACKNOWLEDGE, host.public_key)
    request = pin.parse_request(dare.from_value(body.get("EnvelopedRequestConnection")).raw)
    nonce = binary_member(body, "ServerNonce", NONCE_SIZE)
    due = witness(host.public_key, nonce, device.public_key, request.client_nonce)
    shown = text_member(body, "Witness")
    if text_member(body, "MessageId") != shown:
        raise BadRequest("the MessageId of an AcknowledgeConnection is its Witness")
    if not udf.same(request.profile_id, device.fingerprint) or not hmac.compare_digest(
        due.encode(), shown.encode()
    ):
        raise Unauthorized("the agent acknowledged the request of another device")
    return Acknowledgement(due, request, bytes(data))


@dataclass(frozen=True, slots=True)
class Response:
    """A parsed RespondConnection; ``device`` is the catalog entry that comes with "Accept"."""

    result: Result
    device: CatalogedDevice | None
    raw: bytes = field(repr=False)


def respond(
    request: pin.ConnectionRequest,
    result: Result,
    administrator: Ed448Key,
    now: float,
    device: CatalogedDevice | None = None,
) -> bytes:
    """The RespondConnection envelope that answers ``request``; "Accept" brings ``device`` along."""
    body: dict[str, Any] = {"MessageId": udf.response_id(request.message_id), "Result": result}
    if device is not None:
        body |= load_json(device.to_bytes(), "the catalog entry")
    return _sign(RESPOND, body, administrator, now)


def parse_response(data: bytes | memoryview, administrator: bytes, message_id: str) -> Response:
    """The RespondConnection that answers the request of ``message_id``, verified under ``administrator``.

    Raises BadRequest for a flaw of form, Unauthorized for another signer or an answer to another request.
    """
    body = _verified(data, RESPOND, administrator)
    if text_member(body, "MessageId") != udf.response_id(message_id):
        raise Unauthorized("this answers another request for admission")
    result = text_member(body, "Result")
    found = next((known for known in RESULTS if known == result), None)
    if found is None or (found == "Accept") != ("CatalogedDevice" in body):
        raise BadRequest(
            "the Result of a RespondConnection is Accept (with a CatalogedDevice), Reject or Pending"
        )
    device = None
    if found == "Accept":
        entry = object_of(body["CatalogedDevice"], "CatalogedDevice")
        device = parse_device(dump_json({"CatalogedDevice": entry}))
    return Response(found, device, bytes(data))


def _sign(message_type: str, body: Mapping[str, Any], key: Ed448Key, now: float) -> bytes:
    envelope_id = udf.envelope_id(str(body["MessageId"]))
    return dare.sign(message_type, body, key, created=now, envelope_id=envelope_id)


def _verified(data: bytes | memoryview, message_type: str, signer: bytes) -> dict[str, Any]:
    envelope = dare.parse(data)
    if envelope.message_type != message_type:
        raise BadRequest(f"the envelope holds no {message_type}")
    envelope.verify(signer)
    body = envelope.body()
    if envelope.envelope_id != udf.envelope_id(text_member(body, "MessageId")):
        raise BadRequest(f"the EnvelopeId of a {message_type} does not follow from its MessageId")
    return body
