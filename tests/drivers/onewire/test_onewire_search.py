"""The search for ROM codes: whatever is on the bus is found, known or not, and a broken line ends it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myclerk_drivers.models.onewire import BitSearch, rom_code
from myclerk_drivers.onewire.search import BITS, search
from myclerk_protocol.status import HardwareError

CODES = st.sets(st.binary(min_size=8, max_size=8) | st.builds(rom_code, st.just(0x28), st.integers(0, 99)))
NOBODY = (1 << BITS) - 1


def passes(codes: Collection[bytes], made: list[int]) -> Callable[[int], tuple[int, int] | None]:
    """A bus with these devices; ``made`` gets the directions of each pass."""

    def make_pass(path: int) -> tuple[int, int] | None:
        made.append(path)
        line, bits, complements = BitSearch(codes), 0, 0
        for at in range(BITS):
            bits |= line.slot(1) << at
            complements |= line.slot(1) << at
            line.slot(path >> at & 1)
        return bits, complements

    return make_pass


@settings(deadline=None)
@given(CODES, CODES)
def test_every_device_is_found_whatever_was_known_before(there: set[bytes], known: set[bytes]) -> None:
    found = search(passes(there, []), known)
    assert len(found) == len(set(found))
    assert set(found) == there


@settings(deadline=None)
@given(CODES.filter(bool))
def test_devices_that_are_known_take_one_pass_each(codes: set[bytes]) -> None:
    made: list[int] = []
    search(passes(codes, made), codes)
    assert len(made) == len(codes)


def test_an_unknown_device_takes_a_pass_for_each_bit_that_was_guessed_wrong() -> None:
    code, made = rom_code(0x28, 0x75F4D2C), list[int]()
    assert search(passes([code], made), []) == [code]
    assert len(made) <= sum(byte.bit_count() for byte in code[:7]) + 8


def test_one_of_a_batch_is_found_soon_when_another_is_known() -> None:
    known, new, made = rom_code(0x28, 0x0A0B0C0D0E01), rom_code(0x28, 0x0A0B0C0D0E02), list[int]()
    assert set(search(passes([known, new], made), [known])) == {known, new}
    assert len(made) <= 4


@pytest.mark.parametrize("answer", [None, (NOBODY, NOBODY)])
def test_an_empty_bus_has_nothing(answer: tuple[int, int] | None) -> None:
    assert search(lambda path: answer, [rom_code(0x28, 1)]) == []


def test_a_line_that_is_held_low_ends_the_search_at_once() -> None:
    made: list[int] = []

    def low(path: int) -> tuple[int, int]:
        made.append(path)
        return 0, 0

    with pytest.raises(HardwareError, match="held low"):
        search(low, [])
    assert len(made) == 1


def test_a_line_that_invents_devices_ends_the_search_some_time() -> None:
    with pytest.raises(HardwareError, match="disturbed"):
        search(lambda path: (0, 1), [])


@given(st.lists(st.tuples(st.integers(0, NOBODY), st.integers(0, NOBODY)), max_size=50))
def test_no_noise_upsets_it(noise: list[tuple[int, int]]) -> None:
    answers = iter(noise)
    try:
        for code in search(lambda path: next(answers, None), []):
            assert len(code) == 8
    except HardwareError:
        pass
