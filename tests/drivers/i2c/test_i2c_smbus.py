"""SMBus: operands of each protocol, the messages it is made of, and the checksum."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from i2c_board import OnBus, found

from myclerk_drivers.i2c import I2cDriver, emulation
from myclerk_drivers.i2c.functionality import Functionality, from_names, names
from myclerk_drivers.i2c.simulated import Device, SimulatedBus, SimulatedI2c
from myclerk_drivers.i2c.smbus import PROTOCOLS, Reply, command
from myclerk_protocol.status import BadRequest, HardwareError, Unsupported

OPERANDS: dict[str, dict[str, Any]] = {
    "write-quick": {},
    "read-quick": {},
    "read-byte": {},
    "write-byte": {"value": 0x5A},
    "read-byte-data": {"command": 0x10},
    "write-byte-data": {"command": 0x10, "value": 0x5A},
    "read-word-data": {"command": 0x10},
    "write-word-data": {"command": 0x10, "value": 0x1234},
    "process-call": {"command": 0x10, "value": 0x1234},
    "read-block-data": {"command": 0x10},
    "write-block-data": {"command": 0x10, "data": b"abc"},
    "block-process-call": {"command": 0x10, "data": b"abc"},
    "read-i2c-block-data": {"command": 0x10, "size": 5},
    "write-i2c-block-data": {"command": 0x10, "data": b"abc"},
}


class Scripted:
    """A target that notes what is written and answers from ``answer``."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.log: list[bytes | int] = []

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def read(self, size: int) -> bytes:
        self.log.append(size)
        return (self.answer + bytes(size))[:size]


def execute(name: str, answer: bytes = b"", pec: bool = False, **operands: Any) -> tuple[Reply, Scripted]:
    target = Scripted(answer)
    bus = SimulatedBus({0x50: Device(target)})
    bus.select(0x50)
    return bus.smbus(command(name, pec=pec, **operands)), target


def test_every_protocol_is_tried_here() -> None:
    assert OPERANDS.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize(
    ("name", "answer", "written", "read", "reply"),
    [
        ("write-quick", b"", [b""], [], Reply()),
        ("read-quick", b"", [], [0], Reply()),
        ("read-byte", b"\x07", [], [1], Reply(7)),
        ("write-byte", b"", [b"\x5a"], [], Reply()),
        ("read-byte-data", b"\x07", [b"\x10"], [1], Reply(7)),
        ("write-byte-data", b"", [b"\x10\x5a"], [], Reply()),
        ("read-word-data", b"\x34\x12", [b"\x10"], [2], Reply(0x1234)),
        ("write-word-data", b"", [b"\x10\x34\x12"], [], Reply()),
        ("process-call", b"\x78\x56", [b"\x10\x34\x12"], [2], Reply(0x5678)),
        ("read-block-data", b"\x02xy", [b"\x10"], [33], Reply(data=b"xy")),
        ("write-block-data", b"", [b"\x10\x03abc"], [], Reply()),
        ("block-process-call", b"\x02xy", [b"\x10\x03abc"], [33], Reply(data=b"xy")),
        ("read-i2c-block-data", b"hello", [b"\x10"], [5], Reply(data=b"hello")),
        ("write-i2c-block-data", b"", [b"\x10abc"], [], Reply()),
    ],
)
def test_protocols_are_the_messages_that_the_specification_draws(
    name: str, answer: bytes, written: list[bytes], read: list[int], reply: Reply
) -> None:
    got, target = execute(name, answer, **OPERANDS[name])
    assert target.log == [*written, *read]
    assert got == reply


@pytest.mark.parametrize("length", [0, 33, 255])
def test_a_block_of_an_impossible_length_is_a_protocol_error(length: int) -> None:
    with pytest.raises(OSError, match="Protocol") as failure:
        execute("read-block-data", bytes([length]), command=0)
    assert failure.value.errno == errno.EPROTO


# -- the checksum ------------------------------------------------------------------------------------------


def test_the_checksum_is_crc_8() -> None:
    """Check value of CRC-8/SMBUS in the catalogue of parametrised CRC algorithms (reveng)."""
    assert emulation.pec([b"123456789"]) == 0xF4


@given(st.lists(st.binary(max_size=8), max_size=4))
def test_a_checksum_over_itself_is_zero(parts: list[bytes]) -> None:
    assert emulation.pec([*parts, bytes([emulation.pec(parts)])]) == 0


def test_a_write_carries_its_checksum() -> None:
    _, target = execute("write-byte-data", pec=True, command=0x10, value=0x5A)
    assert target.log == [b"\x10\x5a" + bytes([emulation.pec([b"\xa0\x10\x5a"])])]


@pytest.mark.parametrize(
    ("name", "answer", "sent", "reply"),
    [
        ("read-byte", b"\x07", b"\xa1\x07", Reply(7)),
        ("read-byte-data", b"\x07", b"\xa0\x10\xa1\x07", Reply(7)),
        ("read-word-data", b"\x34\x12", b"\xa0\x10\xa1\x34\x12", Reply(0x1234)),
        ("process-call", b"\x78\x56", b"\xa0\x10\x34\x12\xa1\x78\x56", Reply(0x5678)),
        ("read-block-data", b"\x02xy", b"\xa0\x10\xa1\x02xy", Reply(data=b"xy")),
        ("block-process-call", b"\x02xy", b"\xa0\x10\x03abc\xa1\x02xy", Reply(data=b"xy")),
    ],
)
def test_the_checksum_of_an_answer_covers_everything_on_the_bus(
    name: str, answer: bytes, sent: bytes, reply: Reply
) -> None:
    checksum = emulation.pec([sent])
    assert execute(name, answer + bytes([checksum]), pec=True, **OPERANDS[name])[0] == reply
    with pytest.raises(OSError, match="Bad message") as failure:
        execute(name, answer + bytes([checksum ^ 1]), pec=True, **OPERANDS[name])
    assert failure.value.errno == errno.EBADMSG


# -- operands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERANDS)
def test_operands_that_a_protocol_lacks_or_has_not_are_named(name: str) -> None:
    command(name, **OPERANDS[name])
    for key in OPERANDS[name]:
        with pytest.raises(BadRequest, match="needs") as refused:
            command(name, **{k: v for k, v in OPERANDS[name].items() if k != key})
        assert refused.value.details["key"] == key
    for key, value in {"command": 1, "value": 1, "data": b"x", "size": 1}.items():
        if key not in OPERANDS[name]:
            with pytest.raises(BadRequest, match="takes no") as refused:
                command(name, **OPERANDS[name], **{key: value})
            assert refused.value.details["key"] == key


def test_values_must_fit() -> None:
    with pytest.raises(BadRequest, match="at most 255"):
        command("write-byte", value=256)
    command("write-word-data", command=0, value=0xFFFF)
    with pytest.raises(BadRequest, match="protocol"):
        command("read-minds")


@pytest.mark.parametrize("name", ["write-quick", "read-quick", "read-i2c-block-data", "write-i2c-block-data"])
def test_what_has_no_checksum_is_not_asked_for_one(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        command(name, pec=True, **OPERANDS[name])
    assert refused.value.details["key"] == "pec"


# -- by the driver -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERANDS)
def test_the_driver_serves_every_protocol(on_bus: OnBus, name: str) -> None:
    async def story(driver: I2cDriver) -> None:
        device = found(driver, "i2c:2/0x1d")
        await driver.write_byte(device, 3, register=0x10)
        if name == "block-process-call":  # the answer begins behind what was written
            await driver.write_byte(device, 2, register=0x14)
        answer = await driver.smbus_command(device, name, **OPERANDS[name])
        assert bool(answer) is PROTOCOLS[name].answers

    on_bus(story)


@pytest.mark.parametrize("name", [name for name in OPERANDS if name != "read-byte"])
def test_protocols_that_the_adapter_lacks_are_refused(on_bus: OnBus, name: str) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(Unsupported, match=f"{name}; it can do: smbus-read-byte"):
            await driver.smbus_command(found(driver, "i2c:3/0x50"), name, **OPERANDS[name])
        with pytest.raises(Unsupported, match="smbus-pec"):
            await driver.smbus_command(found(driver, "i2c:3/0x50"), "read-byte", pec=True)

    on_bus(story)


def test_a_wrong_checksum_is_a_hardware_error(on_bus: OnBus, board: SimulatedI2c) -> None:
    async def story(driver: I2cDriver) -> None:
        with pytest.raises(HardwareError, match="PEC") as failure:
            await driver.read_byte(found(driver, "i2c:1/0x50"), register=0, pec=True)
        assert failure.value.details["errno"] == "EBADMSG"

    on_bus(story)


@given(st.sets(st.sampled_from(list(Functionality))))
def test_functionality_has_a_name_for_each_flag(flags: set[Functionality]) -> None:
    together = Functionality(sum(flags))
    told = names(together)
    assert len(told) == len(flags)
    assert from_names(told) == together
    assert names(together | Functionality(1 << 31)) == told  # what a later kernel adds
