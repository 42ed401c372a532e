"""The invitation as text: ``myclerk://HOST[:PORT]/FINGERPRINT28#PIN`` (docs/protocol.md).

Without the PIN it asks an administrator for admission; without the fingerprint the PIN alone tells that the
agent is the right one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from ..status import BadRequest
from . import udf

SCHEME = "myclerk://"
FORM = f"{SCHEME}HOST[:PORT]/FINGERPRINT#PIN"
DEFAULT_PORT = 5657
MAXIMUM_LENGTH = 512
"""Characters of a link; host names have at most 253."""

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Link:
    """Where an agent is, who it is, and the PIN that admits one device; one of the last two may be None.

    ``host`` is a name or an address (IPv6 without brackets, ``fe80::1%eth0`` with its zone), ``port`` is
    1-65535, ``fingerprint`` has 28 characters; ``pin`` is a secret in groups of four, kept out of the repr.
    Raises BadRequest for anything else.
    """

    host: str
    fingerprint: str | None
    pin: str | None = field(repr=False)
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        _check_host(self.host)
        if not 1 <= self.port <= 65535:
            raise BadRequest("the port of a link is 1-65535")
        if self.fingerprint is not None:
            udf.check_fingerprint(self.fingerprint)
        if self.pin is not None:
            _check_pin(self.pin)
        elif self.fingerprint is None:
            raise BadRequest(f"a link names a fingerprint, a PIN or both: {FORM}")

    def format(self) -> str:
        """The link as text, PIN included; the default port is left out."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        fingerprint = "" if self.fingerprint is None else f"/{self.fingerprint}"
        pin = "" if self.pin is None else f"#{self.pin}"
        return f"{SCHEME}{host}{port}{fingerprint}{pin}"


def parse(text: str) -> Link:
    """The link that ``text`` holds; fingerprint and PIN may have either case, and hyphens or none.

    Raises BadRequest with a sentence that does not quote the PIN.
    """
    if len(text) > MAXIMUM_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
        raise BadRequest(f"a link is at most {MAXIMUM_LENGTH} printable ASCII characters without spaces")
    if text[: len(SCHEME)].lower() != SCHEME:
        raise BadRequest(f"a link begins with {SCHEME}")
    rest, number_sign, pin = text[len(SCHEME) :].partition("#")
    authority, slash, fingerprint = rest.partition("/")
    if bool(slash) != bool(fingerprint) or bool(number_sign) != bool(pin):
        raise BadRequest(f"a link has the form {FORM}")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise BadRequest("the link's host and port cannot be read; an IPv6 address stands in brackets")
    return Link(
        host=found["name"] if found["ipv6"] is None else _read_ipv6(found["ipv6"]),
        port=DEFAULT_PORT if found["port"] is None else int(found["port"]),
        fingerprint=udf.compact(fingerprint) if fingerprint else None,
        pin=udf.grouped(udf.compact(pin)) if pin else None,
    )


def _check_pin(pin: str) -> None:
    if udf.parse(pin)[0] != udf.Kind.AUTHENTICATOR or udf.grouped(udf.compact(pin)) != pin:
        raise BadRequest("what stands behind # is not a PIN: it begins with A and has groups of four")


def _read_ipv6(text: str) -> str:
    """The address between brackets; its zone stands behind ``%25`` (RFC 6874)."""
    address, percent, zone = text.partition("%25")
    if ":" not in address or "%" in address:
        raise BadRequest("between brackets stands an IPv6 address, with a zone as in [fe80::1%25eth0]")
    return address + ("%" + zone if percent else "")


def _check_host(host: str) -> None:
    if ":" in host:
        address, percent, zone = host.partition("%")
        if percent and not _ZONE.fullmatch(zone):
            raise BadRequest("the zone of the link's IPv6 address is not the name of an interface")
        _check_address(address)
    elif _NUMERIC.fullmatch(host):
        _check_address(host)
    elif not _NAME.fullmatch(host):
        raise BadRequest("the link's host is not a host name (write an international one in its xn-- form)")


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise BadRequest("the link's host is not a valid IP address") from None
