"""Short messages as PDUs: reading what a modem gives, writing what it sends (3GPP TS 23.040, TS 27.005).

A PDU as a modem shows it is hexadecimal: the service centre's address, then the TPDU. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .alphabet import Alphabet, candidates
from .pdu_fields import (
    Coding,
    Header,
    Octets,
    Part,
    PduError,
    Time,
    address,
    coding_scheme,
    from_semi_octets,
    header,
    read_address,
    read_coding,
    read_header,
    read_time,
    validity_period,
)
from .septets import pack, unpack

MOST_OCTETS = 140
MOST_PARTS = 255
DELIVER, SUBMIT, STATUS_REPORT = 0, 1, 2
"""Message types; which of two a value means depends on the direction."""


@dataclass(frozen=True, slots=True)
class Content:
    """User data: ``text``, or ``data`` where the coding is no text."""

    coding: Coding
    header: Header
    text: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message that came. ``wants_report`` is of whoever sent it; ``sender`` is a number or a name."""

    service_center: str
    sender: str
    time: Time | None
    content: Content
    wants_report: bool = False


@dataclass(frozen=True, slots=True)
class Submit:
    """A message to be sent, as it is stored in a modem."""

    service_center: str
    recipient: str
    reference: int
    content: Content
    wants_report: bool = False


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What became of a message that was sent with ``reference``. ``status`` is TP-ST (section 9.2.3.15)."""

    service_center: str
    reference: int
    recipient: str
    time: Time | None
    discharge: Time | None
    status: int

    @property
    def outcome(self) -> str:
        """ "delivered", "pending" (the service centre still tries) or "failed"."""
        if self.status < 0x20:
            return "delivered"
        return "pending" if self.status < 0x40 else "failed"


Message = Deliver | Submit | StatusReport


def decode(pdu: str, *, outgoing: bool = False) -> Message:
    """The message of a hexadecimal PDU with service centre. ``outgoing``: it is stored for sending, or was sent.

    Raises PduError.
    """
    try:
        octets = Octets(bytes.fromhex(pdu))
    except ValueError:
        raise PduError("a PDU consists of hexadecimal digits") from None
    center = _service_center(octets)
    first = octets.octet("first octet")
    kind = first & 3
    if outgoing:
        if kind != SUBMIT:
            raise PduError("this is no SMS-SUBMIT")
        return _submit(octets, center, first)
    if kind == STATUS_REPORT:
        return _status_report(octets, center)
    if kind != DELIVER:
        raise PduError("this is neither an SMS-DELIVER nor an SMS-STATUS-REPORT")
    sender = read_address(octets, "sender")
    octets.octet("protocol identifier")
    scheme = octets.octet("coding scheme")
    time = read_time(octets, "time stamp")
    content = _content(octets, scheme, bool(first & 0x40))
    return Deliver(center, sender, time, content, bool(first & 0x20))


def _service_center(octets: Octets) -> str:
    length = octets.octet("service centre")
    if length == 0:
        return ""
    if length > 11:
        raise PduError("the service centre's address is too long")
    data = octets.take(length, "service centre")
    number = from_semi_octets(data[1:], 2 * (length - 1))
    return f"+{number}" if data[0] >> 4 & 7 == 1 else number


def _submit(octets: Octets, center: str, first: int) -> Submit:
    reference = octets.octet("reference")
    recipient = read_address(octets, "recipient")
    octets.octet("protocol identifier")
    scheme = octets.octet("coding scheme")
    octets.take((0, 7, 1, 7)[first >> 3 & 3], "validity period")
    content = _content(octets, scheme, bool(first & 0x40))
    return Submit(center, recipient, reference, content, bool(first & 0x20))


def _status_report(octets: Octets, center: str) -> StatusReport:
    reference = octets.octet("reference")
    recipient = read_address(octets, "recipient")
    time = read_time(octets, "time stamp")
    discharge = read_time(octets, "discharge time")
    return StatusReport(center, reference, recipient, time, discharge, octets.octet("status"))


def _content(octets: Octets, scheme: int, has_header: bool) -> Content:
    coding = read_coding(scheme)
    length = octets.octet("length of the user data")
    size = (length * 7 + 7) // 8 if coding.encoding == "gsm7" else length
    if size > MOST_OCTETS:
        raise PduError(f"{size} octets of user data are more than {MOST_OCTETS}")
    data = octets.take(size, "user data")
    found, used = Header(), 0
    if has_header:
        inner = Octets(data)
        found = read_header(inner.take(inner.octet("user data header"), "user data header"))
        used = data[0] + 1
    if coding.encoding == "gsm7":
        fill = -used * 8 % 7
        count = length - (used * 8 + fill) // 7
        return Content(coding, found, found.alphabet.decode(unpack(data[used:], count, fill)), None)
    body = data[used:]
    if coding.encoding == "ucs2":
        return Content(coding, found, _utf16(body), None)
    return Content(coding, found, None, body)


def _utf16(data: bytes) -> str:
    """UCS-2 as everybody sends it: UTF-16. A surrogate may have its other half in the next part."""
    return data[: len(data) // 2 * 2].decode("utf-16-be", "surrogatepass")


def join(texts: list[str]) -> str:
    """The text of a message from those of its parts; what is left of a lone surrogate is U+FFFD."""
    return "".join(texts).encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")


# -- writing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """A PDU for AT+CMGS or AT+CMGW: its digits, and the length that these commands want."""

    pdu: str
    length: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send: ``text`` or ``data``.

    ``encoding`` is "auto", "gsm7" or "ucs2" (of text); ``language`` lets the national tables of one language be used;
    ``validity`` is in seconds.
    """

    to: str
    text: str | None = None
    data: bytes | None = None
    encoding: str = "auto"
    language: str | None = None
    flash: bool = False
    report: bool = False
    validity: float | None = None
    ports: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """The user data of one part without its header: octets, and their length as TP-UDL counts it."""

    data: bytes
    septets: list[int] | None = None


def encode(message: Outgoing, reference: int = 0) -> list[Encoded]:
    """The PDUs of a message, in order; several bear ``reference`` (0 to 65535).

    Raises ValueError with a sentence: a number that is none, characters that the encoding lacks, too long a message.
    """
    coding, plain, pieces = _choose(message, reference)
    if len(pieces) > MOST_PARTS:
        raise ValueError(f"the message would take {len(pieces)} parts; {MOST_PARTS} is the limit")
    encoded = []
    for number, piece in enumerate(pieces, 1):
        part = Part(reference, len(pieces), number) if len(pieces) > 1 else None
        encoded.append(_encode(message, coding, replace(plain, part=part), piece))
    return encoded


def _choose(message: Outgoing, reference: int) -> tuple[Coding, Header, list[Piece]]:
    """The coding that needs the fewest parts, the simplest first among equals."""
    message_class = 0 if message.flash else None
    if message.data is not None:
        plain = Header(ports=message.ports)
        return Coding("8bit", message_class), plain, _octet_pieces(message.data, plain, reference)
    text = message.text or ""
    options: list[tuple[Coding, Header, list[Piece]]] = []
    if message.encoding != "ucs2":
        for alphabet in candidates(message.language):
            septets = alphabet.encode(text)
            if septets is not None:
                plain = Header(ports=message.ports, alphabet=alphabet)
                options.append((Coding("gsm7", message_class), plain, _septet_pieces(text, plain, reference)))
    if message.encoding != "gsm7":
        plain = Header(ports=message.ports)
        options.append((Coding("ucs2", message_class), plain, _ucs2_pieces(text, plain, reference)))
    if not options:
        lacking = sorted({c for c in text if Alphabet().encode(c) is None})
        raise ValueError(f"the GSM alphabet has no {' '.join(lacking[:5])!r}; use ucs2")
    return min(options, key=lambda option: len(option[2]))


def _room(plain: Header, reference: int | None = None) -> int:
    """Octets left for the text: of the only part, or of each of those that bear a ``reference``."""
    part = None if reference is None else Part(reference, 1, 1)
    return MOST_OCTETS - len(header(replace(plain, part=part)))


def _octet_pieces(data: bytes, plain: Header, reference: int) -> list[Piece]:
    room = _room(plain)
    if len(data) > room:
        room = _room(plain, reference)
    return [Piece(data[at : at + room]) for at in range(0, len(data), room)] or [Piece(b"")]


def _ucs2_pieces(text: str, plain: Header, reference: int) -> list[Piece]:
    whole = text.encode("utf-16-be", "surrogatepass")
    if len(whole) <= _room(plain):
        return [Piece(whole)]
    room = _room(plain, reference) // 2 * 2
    pieces, current = [], b""
    for character in text:
        encoded = character.encode("utf-16-be", "surrogatepass")
        if len(current) + len(encoded) > room:
            pieces.append(Piece(current))
            current = b""
        current += encoded
    return [*pieces, Piece(current)]


def _septet_pieces(text: str, plain: Header, reference: int) -> list[Piece]:
    """Cut so that no escape is parted from what follows it."""
    encoded = [plain.alphabet.encode(character) or [] for character in text]
    total = sum(map(len, encoded))
    if total <= _room(plain) * 8 // 7:
        return [Piece(b"", [septet for septets in encoded for septet in septets])]
    room = _room(plain, reference) * 8 // 7
    pieces: list[Piece] = []
    current: list[int] = []
    for septets in encoded:
        if len(current) + len(septets) > room:
            pieces.append(Piece(b"", current))
            current = []
        current = current + septets
    return [*pieces, Piece(b"", current)]


def _encode(message: Outgoing, coding: Coding, found: Header, piece: Piece) -> Encoded:
    head = header(found)
    if piece.septets is not None:
        fill = -len(head) * 8 % 7
        length = (len(head) * 8 + fill) // 7 + len(piece.septets)
        data = head + (pack(piece.septets, fill) if piece.septets else b"")
    else:
        data = head + piece.data
        length = len(data)
    first = SUBMIT | (0x10 if message.validity is not None else 0)
    first |= (0x20 if message.report else 0) | (0x40 if head else 0)
    tpdu = bytes([first, 0]) + address(message.to) + bytes([0, coding_scheme(coding)])
    if message.validity is not None:
        tpdu += bytes([validity_period(message.validity)])
    tpdu += bytes([length]) + data
    return Encoded(f"00{tpdu.hex().upper()}", len(tpdu))
