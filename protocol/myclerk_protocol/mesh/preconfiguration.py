"""DevicePreconfiguration: how a board without keyboard and screen is delivered (Mesh Part IV section 9.2).

The board keeps who it is, where it is found and the salted PIN of its label; the label, a static QR code,
has the same link with the PIN. The Mesh publishes the record under an EARL; this project's stays on the
board, and the link takes the EARL's place (docs/trust.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..status import BadRequest, TooLarge, Unauthorized
from . import dare, link, udf
from .encoding import dump_json, load_json, load_object, object_of, text_member
from .messages import MessagePin, parse_message_pin
from .profiles import Profile, ProfileKind, parse_profile

MAXIMUM_SIZE = 4 * dare.MAXIMUM_SIZE


@dataclass(frozen=True, slots=True)
class Preconfiguration:
    """A board as delivered. ``link`` has no PIN; ``pin`` notes the one on the label and is secret."""

    host: Profile
    link: link.Link
    pin: MessagePin
    pin_envelope: bytes

    def to_bytes(self) -> bytes:
        """The record as JSON."""
        body = {
            "EnvelopedProfileDevice": load_json(self.host.raw, "the host's profile"),
            "ConnectUri": replace(self.link, pin=None).format(),
            "EnvelopedMessagePin": load_json(self.pin_envelope, "the MessagePin"),
        }
        return dump_json({"DevicePreconfiguration": body})


def parse(data: bytes) -> Preconfiguration:
    """The record in ``data``, all its parts verified and found to belong together.

    Raises TooLarge, BadRequest for a flaw of form, Unauthorized for a signature or a part of another board.
    """
    if len(data) > MAXIMUM_SIZE:
        raise TooLarge(f"a DevicePreconfiguration has at most {MAXIMUM_SIZE} bytes")
    record = load_object(data, "the preconfiguration")
    if list(record) != ["DevicePreconfiguration"]:
        raise BadRequest("this is not one DevicePreconfiguration")
    body = object_of(record["DevicePreconfiguration"], "DevicePreconfiguration")
    profile = dare.from_value(body.get("EnvelopedProfileDevice"))
    host = parse_profile(profile.raw, ProfileKind.HOST)
    envelope = dare.from_value(body.get("EnvelopedMessagePin")).raw
    noted = parse_message_pin(envelope, host.administrator)
    uri = link.parse(text_member(body, "ConnectUri"))
    if uri.pin is not None:
        raise BadRequest("the ConnectUri of a stored DevicePreconfiguration has no PIN")
    if uri.fingerprint != host.fingerprint or noted.account != udf.grouped(host.fingerprint):
        raise Unauthorized("the parts of the DevicePreconfiguration belong to different boards")
    return Preconfiguration(host, uri, noted, envelope)
