"""The search for ROM codes (application note 187), in passes that are one access to the bus each.

Devices answer a search bit by bit: what their bit is and its complement, both on a wired AND; then the master says
with which value it goes on, and the devices with the other one fall silent. Here all 64 directions of a pass are
chosen beforehand. A wrong guess ends what the pass can tell, but it told the bit: the next pass knows better. For a
device that the kernel knows one pass is enough.

The kernel can search, too, and is not asked to. When a search through its netlink interface meets a new device, the
bus can hang for good: w1_attach_slave_device wants dev->mutex held, and nobody holds it there (source of Linux 6.12;
owfs issue 86). And an alarm search makes it forget the devices without alarm (w1_search_process_cb).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from myclerk_protocol.status import HardwareError

from ..models.onewire import crc8

BITS = 64
SERIAL_BITS = 56
MAX_PASSES = 2000
"""What some sixty devices need of which none is known. A line that invents devices would need no end."""

Pass = Callable[[int], tuple[int, int] | None]
"""Directions -> the bits and the complements that were read; None when there is no device. Bit 0 comes first."""


def search(make_pass: Pass, known: Iterable[bytes]) -> list[bytes]:
    """All ROM codes on the bus, whether their CRC is right or not; ``known`` are good guesses.

    Raises HardwareError when it comes to no end, and what ``make_pass`` raises.
    """
    guesses = [int.from_bytes(code, "little") for code in known]
    found: dict[int, None] = {}
    branches = [(0, 0)]  # the first bits of ROM codes that are there, and how many bits
    for _ in range(MAX_PASSES):
        if not branches:
            return [code.to_bytes(8, "little") for code in found]
        prefix, length = branches.pop()
        path = _guess(prefix, length, guesses)
        if (answer := make_pass(path)) is not None:
            if answer == (0, 0):  # every bit would be there with both values
                break
            end, others = _walk(path, length, *answer)
            branches += others
            if end == BITS:
                found[path] = None
                guesses.append(path)
    raise HardwareError("a search comes to no end: the line is held low, or disturbed", errno="EIO")


def _guess(prefix: int, length: int, guesses: Sequence[int]) -> int:
    """A ROM code that begins with these bits: a known one, or else one as if bought together with the last."""
    mask = (1 << length) - 1
    for code in guesses:
        if code & mask == prefix:
            return code
    like = guesses[-1] if guesses else 0
    body = (like & ~mask | prefix) & ((1 << SERIAL_BITS) - 1)
    code = body | crc8(body.to_bytes(SERIAL_BITS // 8, "little")) << SERIAL_BITS
    return code if code & mask == prefix else prefix


def _walk(path: int, length: int, bits: int, complements: int) -> tuple[int, list[tuple[int, int]]]:
    """Where a pass ended, BITS if at a device, and the branches that it saw behind the first ``length`` bits."""
    branches: list[tuple[int, int]] = []
    for at in range(BITS):
        bit, complement, taken = bits >> at & 1, complements >> at & 1, path >> at & 1
        if bit and complement:  # nobody is left
            return at, branches
        there = bit if complement != bit else 1 - taken
        if there != taken and at >= length:
            branches.append((path & ((1 << at) - 1) | there << at, at + 1))
        if complement != bit and bit != taken:  # all of them have the other value
            return at, branches
    return BITS, branches
