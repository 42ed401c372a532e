"""rtnetlink messages about CAN links as bytes (rtnetlink(7), linux/if_link.h, linux/can/netlink.h).

Written out here, as the few attributes that matter are less code than a general netlink library is weight.
All numbers are in the byte order of the machine; attributes are padded to 4 bytes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .backend import CANFD_MTU, MODES, STATES, BitTiming, Configuration, InterfaceState

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK = 16, 18
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
ARPHRD_CAN = 280
IFF_UP = 0x1

IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO, IFLA_STATS64 = 3, 4, 13, 18, 23
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_XSTATS = 1, 2, 3
IFLA_CAN_BITTIMING, IFLA_CAN_CLOCK, IFLA_CAN_STATE, IFLA_CAN_CTRLMODE = 1, 3, 4, 5
IFLA_CAN_RESTART_MS, IFLA_CAN_RESTART, IFLA_CAN_BERR_COUNTER, IFLA_CAN_DATA_BITTIMING = 6, 7, 8, 9
IFLA_CAN_CTRLMODE_EXT, IFLA_CAN_CTRLMODE_SUPPORTED = 17, 1
TDC_MODES = 0x6600
"""Transmitter delay compensation of CAN FD and XL: the kernel works it out anew if these bits are left alone."""

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")
_UINT = struct.Struct("=I")
_PAIR = struct.Struct("=II")  # can_ctrlmode: mask, flags
_COUNTERS = struct.Struct("=HH")  # can_berr_counter: sent, received
_TIMING = struct.Struct("=8I")
_STATISTICS = struct.Struct("=8Q")
_CAN_STATISTICS = struct.Struct("=6I")

STATISTICS = (
    "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped",
)  # fmt: skip
CAN_STATISTICS = (
    "bus_errors", "error_warnings", "error_passives", "bus_offs", "arbitration_losses", "restarts",
)  # fmt: skip


class Message(NamedTuple):
    """One message of an answer."""

    kind: int
    flags: int
    body: bytes


def messages(data: bytes) -> Iterator[Message]:
    """The messages in what one read gave. Raises ValueError when it ends within one."""
    start = 0
    while start < len(data):
        if len(data) - start < _HEADER.size:
            raise ValueError("a netlink message is cut short")
        length, kind, flags, _, _ = _HEADER.unpack_from(data, start)
        if not _HEADER.size <= length <= len(data) - start:
            raise ValueError("a netlink message is cut short")
        yield Message(kind, flags, data[start + _HEADER.size : start + length])
        start += _aligned(length)


def check(message: Message) -> None:
    """Raise the OSError that an NLMSG_ERROR message carries, with the kernel's own words if it has any."""
    number = -int(struct.unpack_from("=i", message.body)[0])
    if number == 0:
        return
    text = b""
    if message.flags & NLM_F_ACK_TLVS:
        text = attributes(message.body[4 + _HEADER.size :]).get(NLMSGERR_ATTR_MSG, b"")
    said = text.rstrip(b"\0").decode(errors="replace")
    raise OSError(number, said or os.strerror(number))


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by type. Raises ValueError when they do not fill the data."""
    found, start = {}, 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= len(data) - start:
            raise ValueError("a netlink attribute is cut short")
        found[kind & NLA_TYPE_MASK] = data[start + _ATTRIBUTE.size : start + length]
        start += _aligned(length)
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + bytes(_aligned(length) - length)


# -- requests ----------------------------------------------------------------------------------------------


def get_links() -> bytes:
    """Ask for all links of the machine."""
    return _request(RTM_GETLINK, NLM_F_DUMP, b"")


def get_link(name: str) -> bytes:
    """Ask for one link."""
    return _request(RTM_GETLINK, 0, _name(name))


def set_up(name: str, up: bool) -> bytes:
    """Take a link up or down."""
    return _request(RTM_NEWLINK, NLM_F_ACK, _name(name), flags=IFF_UP if up else 0, change=IFF_UP)


def set_mtu(name: str, mtu: int) -> bytes:
    """Set a link's MTU."""
    return _request(RTM_NEWLINK, NLM_F_ACK, _name(name) + attribute(IFLA_MTU, _UINT.pack(mtu)))


def restart(name: str) -> bytes:
    """Let a controller leave bus-off."""
    return _request(RTM_NEWLINK, NLM_F_ACK, _name(name) + _can(attribute(IFLA_CAN_RESTART, _UINT.pack(1))))


def configure(name: str, current: Configuration, wanted: Configuration) -> bytes:
    """Set everything, as the kernel takes CAN FD only with both bit timings in one message.

    The mask of the modes names no more than the bits that are on now or shall be: kernels before 6.0 refuse a
    mask with bits that the controller does not know, and bits it is fixed to must be there.
    """
    data = b""
    if wanted.timing is not None:
        data += attribute(IFLA_CAN_BITTIMING, _timing(wanted.timing))
    data += attribute(IFLA_CAN_CTRLMODE, _PAIR.pack(current.modes | wanted.modes, wanted.modes))
    if wanted.data_timing is not None and wanted.has("fd"):
        data += attribute(IFLA_CAN_DATA_BITTIMING, _timing(wanted.data_timing))
    if wanted.restart_ms != current.restart_ms:
        data += attribute(IFLA_CAN_RESTART_MS, _UINT.pack(wanted.restart_ms))
    return _request(RTM_NEWLINK, NLM_F_ACK, _name(name) + _can(data))


def _request(kind: int, extra: int, body: bytes, *, flags: int = 0, change: int = 0) -> bytes:
    link = _LINK.pack(0, 0, 0, flags, change)
    length = _HEADER.size + len(link) + len(body)
    return _HEADER.pack(length, kind, NLM_F_REQUEST | extra, 1, 0) + link + body


def _name(name: str) -> bytes:
    return attribute(IFLA_IFNAME, name.encode() + b"\0")


def _can(data: bytes) -> bytes:
    info = attribute(IFLA_INFO_KIND, b"can\0") + attribute(IFLA_INFO_DATA | NLA_F_NESTED, data)
    return attribute(IFLA_LINKINFO | NLA_F_NESTED, info)


def _timing(timing: BitTiming) -> bytes:
    """With time quanta they are what counts; the kernel refuses a bit rate beside them."""
    bitrate = 0 if timing.tq else timing.bitrate
    segments = (timing.tq, timing.prop_seg, timing.phase_seg1, timing.phase_seg2, timing.sjw)
    return _TIMING.pack(bitrate, timing.sample_point, *segments, timing.brp)


# -- answers -----------------------------------------------------------------------------------------------


def parse_link(body: bytes) -> InterfaceState | None:
    """The interface that an RTM_NEWLINK message describes, or None when it is no CAN interface."""
    _, hardware, _, flags, _ = _LINK.unpack_from(body)
    if hardware != ARPHRD_CAN:
        return None
    link = attributes(body[_LINK.size :])
    info = attributes(link.get(IFLA_LINKINFO, b""))
    can = attributes(info.get(IFLA_INFO_DATA, b"")) if _text(info, IFLA_INFO_KIND) == "can" else {}
    mtu = _number(link, IFLA_MTU) or 0
    state = _number(can, IFLA_CAN_STATE)
    statistics = _named(STATISTICS, _STATISTICS, link.get(IFLA_STATS64))
    tx_errors, rx_errors = _COUNTERS.unpack_from(can.get(IFLA_CAN_BERR_COUNTER) or bytes(4))
    has_counters = IFLA_CAN_BERR_COUNTER in can
    modes = _PAIR.unpack_from(can.get(IFLA_CAN_CTRLMODE) or bytes(8))[1] & ~TDC_MODES
    if not can:
        modes = MODES["fd"] if mtu >= CANFD_MTU else 0
    return InterfaceState(
        name=_text(link, IFLA_IFNAME),
        kind=_text(info, IFLA_INFO_KIND) or "can",
        up=bool(flags & IFF_UP),
        mtu=mtu,
        tx_queue_length=_number(link, IFLA_TXQLEN) or 0,
        configuration=Configuration(
            _parsed_timing(can.get(IFLA_CAN_BITTIMING)),
            _parsed_timing(can.get(IFLA_CAN_DATA_BITTIMING)),
            modes,
            _number(can, IFLA_CAN_RESTART_MS) or 0,
        ),
        statistics=statistics | _named(CAN_STATISTICS, _CAN_STATISTICS, info.get(IFLA_INFO_XSTATS)),
        state=None if state is None else STATES[state] if state < len(STATES) else "stopped",
        clock=_number(can, IFLA_CAN_CLOCK),
        supported_modes=_number(attributes(can.get(IFLA_CAN_CTRLMODE_EXT, b"")), IFLA_CAN_CTRLMODE_SUPPORTED),
        tx_errors=tx_errors if has_counters else None,
        rx_errors=rx_errors if has_counters else None,
    )


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(found: dict[int, bytes], kind: int) -> int | None:
    value = found.get(kind)
    return None if value is None or len(value) < 4 else int(_UINT.unpack_from(value)[0])


def _text(found: dict[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _named(names: tuple[str, ...], layout: struct.Struct, data: bytes | None) -> dict[str, int]:
    if data is None or len(data) < layout.size:
        return {}
    return dict(zip(names, layout.unpack_from(data), strict=True))


def _parsed_timing(data: bytes | None) -> BitTiming | None:
    if data is None or len(data) < _TIMING.size:
        return None
    timing = BitTiming(*_TIMING.unpack_from(data))
    return timing if timing.bitrate else None
