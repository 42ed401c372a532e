"""USB/IP commands and answers as bytes: nothing malformed comes in, nothing that would hurt a kernel goes out."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usbip_host import submit, unlink

from myclerk_client.usb.usbip.urbs import (
    MAX_TRANSFER,
    CommandReader,
    Packet,
    PacketResult,
    Submit,
    Unlink,
    ret_submit,
    ret_submit_isochronous,
    ret_unlink,
    status_of,
)
from myclerk_protocol.status import MalformedMessage

# The example of the specification (Documentation/usb/usbip_protocol.rst).
INTERRUPT_IN = bytes.fromhex(
    "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 00000000 00000000"
)
INTERRUPT_OUT = bytes.fromhex(
    "00000001 00000d06 0001000f 00000000 00000001 00000000 00000040 ffffffff 00000000 00000004 00000000 00000000"
    "ffffffff860008a784ce5ae212376300000000000000000000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000"
)

places = st.lists(st.integers(0, 200), min_size=1, max_size=20).map(
    lambda sizes: [(sum(sizes[:n]), size) for n, size in enumerate(sizes)]
)


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    number = draw(st.integers(0, 0xFFFFFFFF))
    if draw(st.booleans()):
        return unlink(number, draw(st.integers(0, 0xFFFFFFFF)))
    address = draw(st.integers(0, 15)) | draw(st.sampled_from([0, 0x80]))
    packets = draw(st.just([]) | places)
    size = sum(length for _, length in packets) or draw(st.integers(0, 300))
    return submit(
        number,
        address,
        length=size,
        data=b"" if address >= 0x80 else draw(st.binary(min_size=size, max_size=size)),
        setup=draw(st.binary(min_size=8, max_size=8)),
        flags=draw(st.integers(0, 0xFFFFFFFF)),
        packets=packets,
        start_frame=draw(st.integers(-(2**31), 2**31 - 1)),
    )


def read(*pieces: bytes) -> list[Submit | Unlink]:
    reader = CommandReader()
    return [command for piece in pieces for command in reader.feed(piece)]


def fields(command: Submit | Unlink) -> object:
    if isinstance(command, Unlink):
        return command
    return tuple(getattr(command, name) for name in Submit.__slots__)


def test_the_specifications_example() -> None:
    incoming, outgoing = read(INTERRUPT_IN + INTERRUPT_OUT)
    assert isinstance(incoming, Submit)
    assert isinstance(outgoing, Submit)
    assert (incoming.seqnum, incoming.address, incoming.length, incoming.flags) == (0xD05, 0x81, 64, 0x200)
    assert (outgoing.seqnum, outgoing.address, outgoing.data[:4]) == (0xD06, 0x01, b"\xff\xff\xff\xff")
    assert len(outgoing.data) == outgoing.length == 64
    answer = bytes.fromhex(
        "00000003 00000d06 00000000 00000000 00000000 00000000 00000040 00000000 00000000 00000000"
    )
    assert ret_submit(outgoing, 0, 64) == [answer + bytes(8)]


@given(st.lists(commands(), min_size=1, max_size=6), st.lists(st.integers(1, 150), max_size=40))
def test_commands_come_out_the_same_however_the_stream_is_cut(stream: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(stream)
    pieces, position = [], 0
    for size in cuts:
        pieces.append(whole[position : position + size])
        position += size
    pieces.append(whole[position:])
    singly = [fields(command) for piece in stream for command in read(piece)]
    assert len(singly) == len(stream)
    assert [fields(command) for command in read(*pieces)] == singly
    assert [fields(command) for command in read(whole)] == singly


@given(commands())
def test_a_command_holds_what_was_sent(command: bytes) -> None:
    (found,) = read(command)
    if isinstance(found, Unlink):
        assert command == unlink(found.seqnum, found.victim)
    else:
        again = submit(
            found.seqnum, found.address, length=found.length, data=found.data, setup=found.setup, flags=found.flags,
            packets=found.packets, start_frame=found.start_frame,
        )  # fmt: skip
        assert command == again


def test_an_url_without_packets_may_say_so_in_either_way() -> None:
    for count in (0, -1):
        (found,) = read(submit(1, 0x81, length=8, count=count))
        assert isinstance(found, Submit)
        assert found.packets == ()


def damaged(command: bytes, position: int, value: int) -> bytes:
    return command[:position] + struct.pack(">I", value) + command[position + 4 :]


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, 3),  # RET_SUBMIT is for the other direction
        (0, 0),
        (0, 0x01110005),
        (12, 2),  # direction
        (16, 16),  # endpoint
        (24, MAX_TRANSFER + 1),
        (24, 0xFFFFFFFF),
        (32, 1025),  # isochronous packets
        (32, 0xFFFFFFFE),
    ],
)
def test_what_is_no_command_is_refused_before_anything_is_awaited(position: int, value: int) -> None:
    with pytest.raises(MalformedMessage):
        read(damaged(submit(1, 0x81, length=8), position, value))


def test_a_packet_outside_its_buffer_is_refused() -> None:
    for offset, length in ((0, 193), (190, 3), (0xFFFFFFFF, 1), (0, 0xFFFFFFFF)):
        with pytest.raises(MalformedMessage, match="packet"):
            read(submit(1, 0x81, length=192, packets=[(offset, length)]))


@given(st.binary(max_size=400))
def test_noise_is_refused_or_awaits_more(noise: bytes) -> None:
    try:
        read(noise)
    except MalformedMessage:
        pass


def urb(address: int, length: int, packets: tuple[Packet, ...] = ()) -> Submit:
    return Submit(7, address, 0, length, 0, 0, bytes(8), b"" if address >= 0x80 else bytes(length), packets)


@pytest.mark.parametrize(
    ("address", "status", "transferred", "data"),
    [
        (0x81, 0, 9, bytes(9)),  # more than the host has room for
        (0x81, 0, 4, bytes(5)),
        (0x81, 0, 5, bytes(4)),
        (0x81, 0, -1, b""),
        (0x02, 0, 9, b""),
        (0x02, 0, 8, bytes(8)),  # data in the wrong direction
        (0x81, 5, 0, b""),  # no error number
        (0x81, -5000, 0, b""),
    ],
)
def test_an_answer_that_would_hurt_the_host_is_not_made(
    address: int, status: int, transferred: int, data: bytes
) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        ret_submit(urb(address, 8), status, transferred, data)


def test_an_isochronous_answer_must_fit_its_packets() -> None:
    two = (Packet(0, 4), Packet(4, 4))
    good = [PacketResult(4), PacketResult(2, -71)]
    pieces = ret_submit_isochronous(urb(0x81, 8, two), 0, good, bytes(6), 99)
    answer = b"".join(pieces)
    assert struct.unpack_from(">5i", answer, 20) == (0, 6, 99, 2, 1)
    assert struct.unpack_from(">3Ii", answer, 48 + 6) == (0, 4, 4, 0)
    assert struct.unpack_from(">3Ii", answer, 48 + 6 + 16) == (4, 4, 2, -71)
    for results, data in (
        (good, bytes(5)),
        (good[:1], bytes(4)),
        ([PacketResult(5), PacketResult(1)], bytes(6)),
        ([PacketResult(4), PacketResult(-1)], bytes(3)),
    ):
        with pytest.raises(ValueError, match=r"\d"):
            ret_submit_isochronous(urb(0x81, 8, two), 0, results, data)
    with pytest.raises(ValueError, match="isochronous"):
        ret_submit(urb(0x81, 8, two), 0, 0)
    assert len(b"".join(ret_submit_isochronous(urb(0x02, 8, two), 0, [PacketResult(4)] * 2))) == 48 + 32


def test_an_unlink_is_answered_by_its_own_number() -> None:
    answer = ret_unlink(Unlink(12, 7), -104)
    assert struct.unpack(">5Ii24x", answer) == (4, 12, 0, 0, 0, -104)


def test_error_numbers_are_linuxs() -> None:
    known = {
        None: 0,
        "EPIPE": -32,
        "ECONNRESET": -104,
        "EREMOTEIO": -121,
        "EOVERFLOW": -75,
        "ENOSUCHTHING": -5,
    }
    assert {name: status_of(name) for name in known} == known
