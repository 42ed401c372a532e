"""What an agent records of the devices that it admitted (Mesh Part IV sections 10.4.2 and 10.4.7).

CatalogedDevice goes to the device in the answer to CLIENT_REGISTER; CatalogedAccess stays with the agent.
Neither is signed as a whole: what counts in a CatalogedDevice are the signed envelopes inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..status import BadRequest, TooLarge
from . import dare, udf
from .connections import Connection, parse_connection
from .encoding import dump_json, load_json, load_object, object_of, text_member
from .profiles import Profile, ProfileKind, parse_profile

MAXIMUM_SIZE = 4 * dare.MAXIMUM_SIZE
"""Bytes of an entry that are read: it holds three envelopes."""

MAXIMUM_MODE = 4


@dataclass(frozen=True, slots=True)
class CatalogedDevice:
    """A device as the agent's catalog has it: who admitted (``host``), who was, and the assertion of it.

    The envelopes inside were verified, and belong together, wherever this comes from :func:`parse_device`.
    """

    host: Profile
    device: Profile
    connection: Connection

    def to_bytes(self) -> bytes:
        """The entry as JSON."""
        body = {
            "Udf": udf.grouped(self.device.fingerprint),
            "DeviceUdf": udf.grouped(self.device.fingerprint),
            "SignatureUdf": udf.grouped(self.connection.authority),
            "EnvelopedProfileUser": load_json(self.host.raw, "the host's profile"),
            "EnvelopedProfileDevice": load_json(self.device.raw, "the device's profile"),
            "EnvelopedConnectionUser": load_json(self.connection.raw, "the connection"),
        }
        return dump_json({"CatalogedDevice": body})


def parse_device(data: bytes) -> CatalogedDevice:
    """The entry in ``data``, its envelopes verified, the connection under the host's administrator key.

    Raises TooLarge, BadRequest for a flaw of form or parts that do not belong together, Unauthorized for a
    signature that does not verify. Envelopes inside JSON may be spaced otherwise than their authors wrote
    them, so their ``raw`` serves no digest. Says nothing about who the host is: compare ``host.fingerprint``.
    """
    body = _entry(data, "CatalogedDevice")
    host = parse_profile(_enveloped(body, "EnvelopedProfileUser"), ProfileKind.HOST)
    device = parse_profile(_enveloped(body, "EnvelopedProfileDevice"), ProfileKind.DEVICE)
    connection = parse_connection(_enveloped(body, "EnvelopedConnectionUser"), host.administrator)
    named = [text_member(body, name) for name in ("Udf", "DeviceUdf", "SignatureUdf")]
    subject, authority = udf.grouped(device.fingerprint), udf.grouped(connection.authority)
    if named != [subject, subject, authority] or connection.subject != device.fingerprint:
        raise BadRequest("the CatalogedDevice names other keys than its envelopes")
    if connection.pq_digest != device.pq_digest:
        raise BadRequest("the connection names another ML-DSA-65 key than the device's profile")
    return CatalogedDevice(host=host, device=device, connection=connection)


@dataclass(frozen=True, slots=True)
class CatalogedAccess:
    """What one device may do: ``grants`` maps resource patterns (docs/protocol.md) to modes 0-4.

    The draft's structure has no members of its own; Udf and Grants are this project's. ``device`` is a
    fingerprint of 28 characters.
    """

    device: str
    grants: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """The entry as JSON."""
        grants = [{"Resource": resource, "Mode": int(mode)} for resource, mode in self.grants.items()]
        return dump_json({"CatalogedAccess": {"Udf": udf.grouped(self.device), "Grants": grants}})


def parse_access(data: bytes) -> CatalogedAccess:
    """The entry in ``data``. Raises TooLarge or BadRequest; a resource that stands twice is one."""
    body = _entry(data, "CatalogedAccess")
    entries = body.get("Grants")
    if type(entries) is not list:
        raise BadRequest("Grants of a CatalogedAccess is not an array")
    grants: dict[str, int] = {}
    for entry in entries:
        grant = object_of(entry, "an entry of Grants")
        resource, mode = text_member(grant, "Resource"), grant.get("Mode")
        if type(mode) is not int or not 0 <= mode <= MAXIMUM_MODE or resource in grants:
            raise BadRequest(
                f"an entry of Grants is one Resource with a Mode of 0-{MAXIMUM_MODE}, named once"
            )
        grants[resource] = mode
    return CatalogedAccess(udf.check_fingerprint(udf.compact(text_member(body, "Udf"))), grants)


def _entry(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAXIMUM_SIZE:
        raise TooLarge(f"a catalog entry has at most {MAXIMUM_SIZE} bytes")
    entry = load_object(data, "the catalog entry")
    if list(entry) != [name]:
        raise BadRequest(f"the catalog entry is not one {name}")
    return object_of(entry[name], name)


def _enveloped(body: Mapping[str, Any], name: str) -> bytes:
    return dare.from_value(body.get(name)).raw
