"""Fields of a short message's PDU: addresses, times, coding schemes, headers (3GPP TS 23.040, TS 23.038)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from math import ceil

from .alphabet import Alphabet
from .septets import pack, unpack

DIGITS = "0123456789*#abc"
"""Semi-octets of an address (TS 23.040, section 9.1.2.3); 15 only fills."""
FILL = 15
ALPHANUMERIC, INTERNATIONAL = 5, 1
ISDN = 1
"""The numbering plan of telephone numbers."""


class PduError(ValueError):
    """Octets that are no PDU of the standard; the message says where."""


class Octets:
    """Reads a PDU from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` octets. Raises PduError."""
        if self._at + count > len(self._data):
            raise PduError(f"the PDU ends within its {what}")
        self._at += count
        return self._data[self._at - count : self._at]

    def octet(self, what: str) -> int:
        """The next octet. Raises PduError."""
        return self.take(1, what)[0]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at, "end")


def from_semi_octets(data: bytes, count: int) -> str:
    """``count`` digits, the low half of an octet first."""
    nibbles = [nibble for octet in data for nibble in (octet & 15, octet >> 4)][:count]
    return "".join(DIGITS[nibble] for nibble in nibbles if nibble != FILL)


def to_semi_octets(digits: str) -> bytes:
    """The reverse; an odd number is filled up. Raises ValueError for what is no digit."""
    nibbles = [DIGITS.index(digit) for digit in digits]
    nibbles += [FILL] * (len(nibbles) % 2)
    return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))


def read_address(octets: Octets, what: str) -> str:
    """An address as people write it: "+491701234567", "1234", or the text of an alphanumeric one."""
    length = octets.octet(what)
    kind = octets.octet(what)
    if length > 20:
        raise PduError(f"the {what} has {length} digits; there are 20 at most")
    data = octets.take((length + 1) // 2, what)
    type_of_number = kind >> 4 & 7
    if type_of_number == ALPHANUMERIC:
        return Alphabet().decode(unpack(data, length * 4 // 7))
    number = from_semi_octets(data, length)
    return f"+{number}" if type_of_number == INTERNATIONAL else number


def address(number: str) -> bytes:
    """A telephone number as the address of a TPDU. Raises ValueError for what is none."""
    digits = number.removeprefix("+")
    if not 1 <= len(digits) <= 20:
        raise ValueError("a number has 1 to 20 digits")
    kind = 0x80 | (INTERNATIONAL << 4 if number.startswith("+") else 0) | ISDN
    return bytes([len(digits), kind]) + to_semi_octets(digits)


def alphanumeric_address(name: str) -> bytes:
    """Up to 11 characters of the default alphabet as an address. Raises ValueError."""
    septets = Alphabet().encode(name)
    if septets is None or not 1 <= len(septets) <= 11:
        raise ValueError("an alphanumeric address has 1 to 11 characters of the GSM alphabet")
    data = pack(septets)
    return bytes([(len(septets) * 7 + 3) // 4, 0x80 | ALPHANUMERIC << 4]) + data


@dataclass(frozen=True, slots=True)
class Time:
    """A service centre's time stamp: seconds since 1970 and the offset of its clock from UTC in minutes."""

    timestamp: int
    utc_offset: int


def read_time(octets: Octets, what: str) -> Time | None:
    """A time stamp (section 9.2.3.11); None where the service centre wrote nonsense."""
    data = octets.take(7, what)
    values = [(octet & 15) * 10 + (octet >> 4) for octet in data[:6]]
    quarters = (data[6] & 7) * 10 + (data[6] >> 4)
    offset = -15 * quarters if data[6] & 8 else 15 * quarters
    year, *others = values
    try:
        zone = timezone(timedelta(minutes=offset))
        moment = datetime(2000 + year if year < 90 else 1900 + year, *others, tzinfo=zone)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    return Time(int(moment.timestamp()), offset)


def time_stamp(time: Time) -> bytes:
    """The reverse, for the years 1990 to 2089 and offsets of whole quarters of an hour."""
    moment = datetime.fromtimestamp(time.timestamp, UTC) + timedelta(minutes=time.utc_offset)
    values = (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    quarters = abs(time.utc_offset) // 15
    sign = 8 if time.utc_offset < 0 else 0
    swapped = [value // 10 | value % 10 << 4 for value in values]
    return bytes([*swapped, quarters // 10 | sign | quarters % 10 << 4])


def validity_period(seconds: float) -> int:
    """The relative validity period (section 9.2.3.12.1) that is not shorter, if there is one."""
    minutes = ceil(seconds / 60)
    if minutes <= 12 * 60:
        return max(ceil(minutes / 5) - 1, 0)
    if minutes <= 24 * 60:
        return ceil((minutes - 12 * 60) / 30) + 143
    if minutes <= 30 * 24 * 60:
        return ceil(minutes / (24 * 60)) + 166
    return min(ceil(minutes / (7 * 24 * 60)) + 192, 255)


@dataclass(frozen=True, slots=True)
class Coding:
    """What a data coding scheme says (TS 23.038, section 4).

    ``encoding`` is "gsm7", "8bit", "ucs2" or "compressed"; ``message_class`` 0 is a flash message.
    """

    encoding: str
    message_class: int | None = None


def read_coding(scheme: int) -> Coding:
    """What ``scheme`` means; reserved values mean the default alphabet."""
    group = scheme >> 4
    if group < 8:
        if scheme & 0x20:
            return Coding("compressed", scheme & 3 if scheme & 0x10 else None)
        encoding = ("gsm7", "8bit", "ucs2", "gsm7")[scheme >> 2 & 3]
        return Coding(encoding, scheme & 3 if scheme & 0x10 else None)
    if group == 15:
        return Coding("8bit" if scheme & 4 else "gsm7", scheme & 3)
    return Coding("ucs2" if group == 14 else "gsm7")


def coding_scheme(coding: Coding) -> int:
    """The reverse, of the general group."""
    alphabet = {"gsm7": 0, "8bit": 1, "ucs2": 2}[coding.encoding]
    return alphabet << 2 | (0 if coding.message_class is None else 0x10 | coding.message_class)


@dataclass(frozen=True, slots=True)
class Part:
    """Where a message belongs that is one of several (section 9.2.3.24.1): ``number`` counts from 1."""

    reference: int
    total: int
    number: int


DEFAULT_ALPHABET = Alphabet()


@dataclass(frozen=True, slots=True)
class Header:
    """What of a user data header is known here (section 9.2.3.24); ``ports`` are destination and source."""

    part: Part | None = None
    ports: tuple[int, int] | None = None
    alphabet: Alphabet = DEFAULT_ALPHABET


def read_header(data: bytes) -> Header:
    """The elements of a user data header without its length. Of repeated ones the last counts."""
    octets = Octets(data)
    part, ports, single, locking = None, None, 0, 0
    left = len(data)
    while left > 1:
        element, size = octets.octet("header"), octets.octet("header")
        value = octets.take(size, "user data header")
        left -= 2 + size
        if element == 0x00 and size == 3:
            part = _part(value[0], value[1], value[2]) or part
        elif element == 0x08 and size == 4:
            part = _part(value[0] << 8 | value[1], value[2], value[3]) or part
        elif element == 0x04 and size == 2:
            ports = (value[0], value[1])
        elif element == 0x05 and size == 4:
            ports = (value[0] << 8 | value[1], value[2] << 8 | value[3])
        elif element == 0x24 and size == 1:
            single = value[0]
        elif element == 0x25 and size == 1:
            locking = value[0]
    return Header(part, ports, Alphabet(locking, single))


def _part(reference: int, total: int, number: int) -> Part | None:
    """None for what the standard says to ignore: a number 0, or one beyond the total."""
    return Part(reference, total, number) if 1 <= number <= total else None


def header(given: Header) -> bytes:
    """The reverse, with its length in front; empty if there is nothing to say."""
    elements = b""
    if given.part is not None:
        reference, total, number = given.part.reference, given.part.total, given.part.number
        if reference > 255:
            elements += bytes([0x08, 4]) + reference.to_bytes(2, "big") + bytes([total, number])
        else:
            elements += bytes([0x00, 3, reference, total, number])
    if given.ports is not None:
        elements += bytes([0x05, 4]) + b"".join(port.to_bytes(2, "big") for port in given.ports)
    if given.alphabet.single:
        elements += bytes([0x24, 1, given.alphabet.single])
    if given.alphabet.locking:
        elements += bytes([0x25, 1, given.alphabet.locking])
    return bytes([len(elements)]) + elements if elements else b""
