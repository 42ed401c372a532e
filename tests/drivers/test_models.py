"""The models of chips say what the datasheets say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.models import Ds18b20, Eeprom, Flash, Lm75, Nack, crc8, rom_code
from myclerk_drivers.models import ds18b20 as sensor
from myclerk_drivers.models import flash as nor
from myclerk_drivers.models.flash import PAGE


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ------------------------------------------------------------------------------------------------------ 24Cxx


def test_an_eeprom_is_erased_and_keeps_what_is_written() -> None:
    eeprom = Eeprom(write_cycle=0)
    eeprom.write(b"\x10\x01\x02\x03")
    eeprom.write(b"\x0f")
    assert eeprom.read(5) == b"\xff\x01\x02\x03\xff"


def test_a_write_wraps_within_its_page_of_eight_bytes() -> None:
    eeprom = Eeprom("24c02", write_cycle=0)
    eeprom.write(b"\x0e" + b"abcd")
    eeprom.write(b"\x08")
    assert eeprom.read(9) == b"cd\xff\xff\xff\xffab\xff"


def test_reading_goes_on_from_the_last_address_and_rolls_over() -> None:
    eeprom = Eeprom(write_cycle=0)
    eeprom.write(b"\x00first")
    eeprom.write(b"\xf8last8byt")
    eeprom.write(b"\xfe")
    assert eeprom.read(1) == b"y"
    assert eeprom.read(6) == b"tfirst"


def test_a_write_cycle_acknowledges_nothing(clock: Clock) -> None:
    eeprom = Eeprom(clock=clock)
    eeprom.write(b"\x00x")
    for attempt in (lambda: eeprom.write(b"\x00"), lambda: eeprom.read(1)):
        with pytest.raises(Nack, match="write cycle"):
            attempt()
    clock.now = 0.005
    eeprom.write(b"\x00")
    assert eeprom.read(1) == b"x"


def test_setting_the_address_starts_no_write_cycle(clock: Clock) -> None:
    eeprom = Eeprom(clock=clock)
    eeprom.write(b"\x05")
    assert not eeprom.busy


def test_large_parts_have_an_address_of_two_bytes() -> None:
    eeprom = Eeprom("24C256", write_cycle=0)
    eeprom.write(b"\x12\x34x")
    eeprom.write(b"\x99")  # half an address changes nothing
    assert eeprom.memory[0x1234] == ord("x")
    eeprom.write(b"\x7f\xff")
    assert eeprom.read(2) == b"\xff\xff"


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"24c99.*24c02"):
        Eeprom("24c99")


@given(st.integers(0, 255), st.binary(min_size=1, max_size=40))
def test_a_write_changes_its_page_only(address: int, data: bytes) -> None:
    eeprom = Eeprom(write_cycle=0)
    eeprom.write(bytes([address]) + data)
    first = address & ~7
    assert eeprom.memory[:first] == b"\xff" * first
    assert eeprom.memory[first + 8 :] == b"\xff" * (248 - first)
    assert eeprom.memory[first + (address + len(data) - 1) % 8] == data[-1]


# ------------------------------------------------------------------------------------------------------- LM75


@pytest.mark.parametrize(
    ("celsius", "bits", "register"),
    [
        (125, 9, "7d00"),
        (25, 9, "1900"),
        (0.5, 9, "0080"),
        (-0.5, 9, "ff80"),
        (-25, 9, "e700"),
        (-55, 9, "c900"),
        (127 - 2, 11, "7d00"),
        (25.125, 11, "1920"),
        (-0.125, 11, "ffe0"),
        (-54.875, 11, "c920"),
    ],
)
def test_lm75_temperature_register(celsius: float, bits: int, register: str) -> None:
    assert Lm75(celsius, bits=bits).read(2).hex() == register


def test_lm75_power_on_registers() -> None:
    lm75 = Lm75()
    values = []
    for pointer, size in ((1, 1), (2, 2), (3, 2)):
        lm75.write(bytes([pointer]))
        values.append(lm75.read(size).hex())
    assert values == ["00", "4b00", "5000"]
    assert lm75.limits == (75.0, 80.0)


def test_lm75_pointer_stays() -> None:
    lm75 = Lm75()
    lm75.write(b"\x03")
    assert lm75.read(2) == lm75.read(2) == b"\x50\x00"
    assert lm75.read(5) == b"\x50\x00\x50\x00\x50"


def test_lm75_limits_have_nine_bits_and_temperature_is_read_only() -> None:
    lm75 = Lm75(20, bits=11)
    lm75.write(b"\x02\xf6\xff")
    assert lm75.read(2) == b"\xf6\x80"
    assert lm75.limits == (-9.5, 80.0)
    lm75.write(b"\x00\x7f\xff")
    assert lm75.read(2) == b"\x14\x00"


def test_lm75_shutdown_keeps_the_last_temperature() -> None:
    lm75 = Lm75(20)
    lm75.write(b"\x01\x01")
    lm75.temperature = 30
    lm75.write(b"\x00")
    assert lm75.read(2) == b"\x14\x00"
    lm75.write(b"\x01\x00")
    lm75.write(b"\x00")
    assert lm75.read(2) == b"\x1e\x00"


def test_lm75_refuses_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="9 or 11"):
        Lm75(bits=12)
    with pytest.raises(ValueError, match="126"):
        Lm75(126)


# ---------------------------------------------------------------------------------------------------- DS18B20


def test_crc_of_application_note_27() -> None:
    rom = bytes.fromhex("021cb801000000")
    assert crc8(rom) == 0xA2
    assert crc8(rom + b"\xa2") == 0


def test_rom_code() -> None:
    assert rom_code(0x02, 0x000001B81C).hex() == "021cb801000000a2"


@given(st.binary(min_size=1, max_size=20), st.data())
def test_the_crc_notices_every_single_bit(data: bytes, draw: st.DataObject) -> None:
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    assert crc8(flipped) != crc8(data)


def command(device: Ds18b20, code: int, *data: int, read: int = 0) -> bytes:
    """Reset, address the only device, send a function command and read."""
    device.reset()
    for byte in (0xCC, code, *data):
        device.exchange(byte)
    return bytes(device.exchange(0xFF) for _ in range(read))


def scratchpad(device: Ds18b20) -> bytes:
    return command(device, sensor.READ_SCRATCHPAD, read=9)


def test_ds18b20_power_on_scratchpad() -> None:
    assert scratchpad(Ds18b20(1)) == bytes.fromhex("50054b467fff0c10") + b"\x1c"


@pytest.mark.parametrize(
    ("celsius", "register"),
    [
        (125, 0x07D0),
        (85, 0x0550),
        (25.0625, 0x0191),
        (10.125, 0x00A2),
        (0.5, 0x0008),
        (0, 0x0000),
        (-0.5, 0xFFF8),
        (-10.125, 0xFF5E),
        (-25.0625, 0xFE6F),
        (-55, 0xFC90),
    ],
)
def test_ds18b20_temperature_register(celsius: float, register: int) -> None:
    device = Ds18b20(1, celsius, time_scale=0)
    command(device, sensor.CONVERT)
    assert int.from_bytes(scratchpad(device)[:2], "little") == register


@pytest.mark.parametrize(
    ("configuration", "bits", "seconds", "register"),
    [
        (0x1F, 9, 0.09375, 0x0198),
        (0x3F, 10, 0.1875, 0x019C),
        (0x5F, 11, 0.375, 0x019E),
        (0x7F, 12, 0.75, 0x019F),
    ],
)
def test_ds18b20_resolution_and_conversion_time(
    clock: Clock, configuration: int, bits: int, seconds: float, register: int
) -> None:
    device = Ds18b20(1, 25.9375, clock=clock)
    command(device, sensor.WRITE_SCRATCHPAD, 75, 70, configuration)
    assert device.resolution == bits
    assert command(device, sensor.CONVERT, read=1) == b"\x00"
    clock.now = seconds - 0.001
    assert device.exchange(0xFF) == 0x00
    assert scratchpad(device)[:2] == b"\x50\x05"
    clock.now = seconds
    assert int.from_bytes(scratchpad(device)[:2], "little") == register


def test_ds18b20_only_the_resolution_of_the_configuration_can_be_written() -> None:
    device = Ds18b20(1)
    command(device, sensor.WRITE_SCRATCHPAD, 0x12, 0x34, 0xA0, 0x55, 0x66)
    assert scratchpad(device)[2:8] == bytes.fromhex("12343fff0c10")


@pytest.mark.parametrize(
    ("celsius", "alarm"), [(29.9, False), (30.0, True), (10.9, True), (11.0, False), (-20, True)]
)
def test_ds18b20_alarm(celsius: float, alarm: bool) -> None:
    device = Ds18b20(1, celsius, time_scale=0)
    command(device, sensor.WRITE_SCRATCHPAD, 30, 10, 0x7F)
    assert not device.alarm  # nothing was measured yet
    command(device, sensor.CONVERT)
    assert device.alarm is alarm


def test_ds18b20_limits_below_zero() -> None:
    device = Ds18b20(1, -20, time_scale=0)
    command(device, sensor.WRITE_SCRATCHPAD, 5, 0x100 - 30, 0x7F)
    command(device, sensor.CONVERT)
    assert device.limits == (5, -30)
    assert not device.alarm


def test_ds18b20_copy_and_recall(clock: Clock) -> None:
    device = Ds18b20(1, clock=clock)
    command(device, sensor.WRITE_SCRATCHPAD, 1, 2, 0x1F)
    assert command(device, sensor.COPY_SCRATCHPAD, read=1) == b"\x00"
    clock.now = 0.01
    assert device.exchange(0xFF) == 0xFF
    command(device, sensor.WRITE_SCRATCHPAD, 3, 4, 0x7F)
    assert command(device, sensor.RECALL, read=1) == b"\xff"
    assert scratchpad(device)[2:5] == b"\x01\x02\x1f"


def test_ds18b20_power_on_forgets_what_was_not_copied() -> None:
    device = Ds18b20(1, 20, time_scale=0)
    command(device, sensor.WRITE_SCRATCHPAD, 1, 2, 0x1F)
    command(device, sensor.CONVERT)
    device.power_on()
    assert scratchpad(device)[:5] == bytes.fromhex("50054b467f")
    assert not device.alarm


def test_ds18b20_parasite_power(clock: Clock) -> None:
    device = Ds18b20(1, parasite=True, clock=clock)
    assert command(device, sensor.READ_POWER_SUPPLY, read=1) == b"\x00"
    assert (
        command(device, sensor.CONVERT, read=1) == b"\xff"
    )  # the line is its supply, it cannot show that it is busy
    assert command(Ds18b20(2), sensor.READ_POWER_SUPPLY, read=1) == b"\xff"


def test_ds18b20_wrong_crc() -> None:
    device = Ds18b20(1)
    device.crc_fault = True
    assert crc8(scratchpad(device)) != 0
    device.crc_fault = False
    assert crc8(scratchpad(device)) == 0


def test_only_the_matched_device_answers() -> None:
    one, two = Ds18b20(1), Ds18b20(2)
    for device in (one, two):
        device.reset()
        for byte in (0x55, *one.rom, sensor.READ_SCRATCHPAD):
            device.exchange(byte)
    assert one.exchange(0xFF) == 0x50
    assert [two.exchange(0xFF) for _ in range(9)] == [0xFF] * 9


def test_read_rom_and_a_command_behind_it() -> None:
    device = Ds18b20(0x123456789ABC)
    device.reset()
    device.exchange(0x33)
    assert bytes(device.exchange(0xFF) for _ in range(8)) == rom_code(0x28, 0x123456789ABC)
    device.exchange(sensor.READ_SCRATCHPAD)
    assert device.exchange(0xFF) == 0x50


def test_an_unknown_command_silences_a_device_until_the_next_reset() -> None:
    device = Ds18b20(1)
    assert command(device, 0x99, sensor.READ_SCRATCHPAD, read=2) == b"\xff\xff"
    assert scratchpad(device)[:2] == b"\x50\x05"


# ------------------------------------------------------------------------------------------------------ W25Qxx


def instruct(flash: Flash, *data: int, read: int = 0) -> bytes:
    """One chip select: send, then read."""
    flash.select()
    flash.exchange(bytes(data))
    answer = flash.exchange(bytes(read))
    flash.deselect()
    return answer


def program(flash: Flash, address: int, data: bytes) -> None:
    instruct(flash, nor.WRITE_ENABLE)
    instruct(flash, nor.PAGE_PROGRAM, *address.to_bytes(3, "big"), *data)


def erase(flash: Flash, opcode: int, address: int) -> None:
    instruct(flash, nor.WRITE_ENABLE)
    instruct(flash, opcode, *address.to_bytes(3, "big"))


@pytest.fixture
def flash() -> Flash:
    return Flash(time_scale=0)


def test_flash_identity(flash: Flash) -> None:
    assert instruct(flash, 0x9F, read=4).hex() == "ef4017ef"
    assert instruct(flash, 0x90, 0, 0, 0, read=3).hex() == "ef16ef"
    assert instruct(flash, 0x90, 0, 0, 1, read=2).hex() == "16ef"
    assert instruct(flash, 0xAB, 0, 0, 0, read=1).hex() == "16"
    assert instruct(flash, 0x4B, 0, 0, 0, 0, read=8).hex() == "d1634c8a0f2b5e97"
    assert instruct(Flash(2 << 20), 0x9F, read=3).hex() == "ef4015"


def test_flash_read_and_fast_read(flash: Flash) -> None:
    flash.poke(0x0FFE, b"across")  # two sectors
    assert instruct(flash, 0x03, 0x00, 0x0F, 0xFE, read=6) == b"across"
    assert instruct(flash, 0x0B, 0x00, 0x0F, 0xFE, 0x00, read=6) == b"across"


def test_flash_one_exchange_or_many_give_the_same(flash: Flash) -> None:
    flash.poke(0x100, b"payload")
    sent = bytes([0x0B, 0, 1, 0, 0]) + bytes(7)
    flash.select()
    whole = flash.exchange(sent)
    flash.deselect()
    flash.select()
    pieces = b"".join(flash.exchange(sent[i : i + 1]) for i in range(len(sent)))
    flash.deselect()
    assert whole == pieces == b"\xff" * 5 + b"payload"


def test_flash_reading_rolls_over_at_its_end() -> None:
    flash = Flash(64 << 10)
    flash.poke(0, b"begin")
    flash.poke(0xFFFE, b"en")
    assert instruct(flash, 0x03, 0, 0xFF, 0xFE, read=5) == b"enbeg"


def test_flash_programs_only_with_the_latch_set_and_clears_it(flash: Flash) -> None:
    instruct(flash, 0x02, 0, 0, 0, 0x55)
    assert flash.memory(0, 1) == b"\xff"
    instruct(flash, 0x06)
    assert instruct(flash, 0x05, read=1) == b"\x02"
    instruct(flash, 0x02, 0, 0, 0, 0x55)
    assert flash.memory(0, 1) == b"\x55"
    assert instruct(flash, 0x05, read=1) == b"\x00"
    instruct(flash, 0x06)
    instruct(flash, 0x04)
    instruct(flash, 0x02, 0, 0, 0, 0x00)
    assert flash.memory(0, 1) == b"\x55"


def test_flash_programming_clears_bits_only(flash: Flash) -> None:
    program(flash, 0, b"\xf0")
    program(flash, 0, b"\x3c")
    assert flash.memory(0, 1) == b"\x30"


def test_flash_page_program_wraps(flash: Flash) -> None:
    program(flash, 0x1FE, b"abcd")
    assert flash.memory(0x1FE, 2) + flash.memory(0x100, 2) == b"abcd"
    assert flash.memory(0x200, 2) == b"\xff\xff"


def test_flash_page_program_keeps_the_last_256_bytes(flash: Flash) -> None:
    program(flash, 0, b"\x00" * 4 + bytes(range(256)))
    assert flash.memory(0, PAGE) == bytes(range(252, 256)) + bytes(range(252))


@pytest.mark.parametrize(("opcode", "size"), [(0x20, 4 << 10), (0x52, 32 << 10), (0xD8, 64 << 10)])
def test_flash_erases_the_block_that_the_address_is_in(flash: Flash, opcode: int, size: int) -> None:
    flash.poke(size - 1, b"\x00" * (size + 2))
    erase(flash, opcode, size + 5)
    assert flash.memory(size - 1, size + 2) == b"\x00" + b"\xff" * size + b"\x00"


@pytest.mark.parametrize("opcode", [0xC7, 0x60])
def test_flash_chip_erase(flash: Flash, opcode: int) -> None:
    flash.poke(0, b"\x00")
    flash.poke(flash.capacity - 1, b"\x00")
    instruct(flash, opcode)
    assert flash.memory(0, 1) == b"\x00"
    instruct(flash, 0x06)
    instruct(flash, opcode)
    assert flash.memory(0, 1) + flash.memory(flash.capacity - 1, 1) == b"\xff\xff"


def test_flash_executes_when_chip_select_ends_and_only_whole_instructions(flash: Flash) -> None:
    flash.poke(0, b"\x00")
    instruct(flash, 0x06)
    instruct(flash, 0x20, 0, 0, 0, 0)  # a byte too many
    flash.select()
    flash.exchange(b"\x20\x00\x00\x00")
    assert flash.memory(0, 1) == b"\x00"
    flash.deselect()
    assert flash.memory(0, 1) == b"\xff"


def test_flash_ignores_all_but_status_while_busy(clock: Clock) -> None:
    flash = Flash(clock=clock)
    program(flash, 0, b"\x12")
    assert instruct(flash, 0x05, read=2) == b"\x03\x03"
    assert instruct(flash, 0x03, 0, 0, 0, read=1) == b"\xff"
    program(flash, 1, b"\x00")
    clock.now = 0.0004
    assert instruct(flash, 0x05, read=1) == b"\x00"
    assert instruct(flash, 0x03, 0, 0, 0, read=2) == b"\x12\xff"


def test_flash_status_can_be_polled_in_one_instruction(clock: Clock) -> None:
    flash = Flash(clock=clock)
    erase(flash, 0x20, 0)
    flash.select()
    flash.exchange(b"\x05")
    assert flash.exchange(b"\x00") == b"\x03"
    clock.now = 0.045
    assert flash.exchange(b"\x00") == b"\x00"
    flash.deselect()


def test_flash_reset_ends_being_busy_and_needs_two_instructions(clock: Clock) -> None:
    flash = Flash(clock=clock)
    erase(flash, 0x20, 0)
    instruct(flash, 0x99)
    assert flash.busy
    instruct(flash, 0x66)
    instruct(flash, 0x99)
    assert not flash.busy


def test_flash_power_down(flash: Flash) -> None:
    instruct(flash, 0xB9)
    assert instruct(flash, 0x9F, read=3) == b"\xff\xff\xff"
    instruct(flash, 0xAB)
    assert instruct(flash, 0x9F, read=3).hex() == "ef4017"


def test_flash_status_registers(flash: Flash) -> None:
    instruct(flash, 0x01, 0x1C)
    assert instruct(flash, 0x05, read=1) == b"\x00"
    instruct(flash, 0x06)
    instruct(flash, 0x01, 0x1C, 0x02)
    assert instruct(flash, 0x05, read=1) == b"\x1c"
    assert instruct(flash, 0x35, read=1) == b"\x02"
    instruct(flash, 0x50)
    instruct(flash, 0x01, 0x00)
    assert instruct(flash, 0x05, read=1) == b"\x00"


@pytest.mark.parametrize(
    ("status", "allowed", "refused"),
    [(0x04, 0x7DFFFF, 0x7E0000), (0x18, 0x3FFFFF, 0x400000), (0x24, 0x020000, 0x01FFFF), (0x1C, None, 0)],
)
def test_flash_block_protection(flash: Flash, status: int, allowed: int | None, refused: int) -> None:
    instruct(flash, 0x06)
    instruct(flash, 0x01, status)
    program(flash, refused, b"\x00")
    assert flash.memory(refused, 1) == b"\xff"
    if allowed is not None:
        program(flash, allowed, b"\x00")
        assert flash.memory(allowed, 1) == b"\x00"


def test_flash_says_nothing_unselected(flash: Flash) -> None:
    assert flash.exchange(b"\x9f\x00\x00\x00") == b"\xff" * 4


def test_flash_bench_access_stays_within_its_memory(flash: Flash) -> None:
    with pytest.raises(ValueError, match="8388608"):
        flash.memory(flash.capacity - 1, 2)
    with pytest.raises(ValueError, match="not within"):
        flash.poke(-1, b"x")
    with pytest.raises(ValueError, match="power of two"):
        Flash(100_000)


@given(st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=300))
def test_flash_reads_what_was_poked(address: int, data: bytes) -> None:
    flash = Flash(128 << 10)
    flash.poke(address, data)
    assert instruct(flash, 0x03, *address.to_bytes(3, "big"), read=len(data)) == data
    assert flash.memory(address, len(data)) == data


def test_flash_keeps_no_more_than_a_page_of_what_it_gets(flash: Flash) -> None:
    data = bytes(i % 251 for i in range(PAGE))
    instruct(flash, nor.WRITE_ENABLE)
    flash.select()
    flash.exchange(bytes([nor.PAGE_PROGRAM, 0, 1, 16]))
    for piece in (bytes(1000), bytes(1), data[:100], data[100:]):
        flash.exchange(piece)
        assert len(flash._received) <= 4 + 2 * PAGE
    flash.deselect()
    start = (16 + 1001) % PAGE  # where the last 256 bytes began
    assert flash.memory(0x100, PAGE) == data[PAGE - start :] + data[: PAGE - start]
    flash.select()
    flash.exchange(bytes([nor.READ, 0, 1, 0]))
    assert b"".join(flash.exchange(bytes(100)) for _ in range(20)) == flash.memory(0x100, 2000)
    assert len(flash._received) <= 4 + 2 * PAGE
