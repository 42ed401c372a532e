"""Names of chips, lines and PWM channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.base import resource_part
from myclerk_drivers.gpio.backend import Chip, PwmChip
from myclerk_drivers.gpio.naming import Names
from myclerk_protocol.status import BadRequest

BOARD = Chip("gpiochip0", "board", ("BUTTON", "LED", "NC", "NC", "17", "", "spare"), aliases=("gpiochip4",))
SPARE = Chip("gpiochip1", "spare", ("", "BUTTON"), parent="usb:1-1.4")
TWINS = [Chip(f"gpiochip{n}", "twin", ("",)) for n in (2, 3)]
NAMES = Names([BOARD, SPARE, *TWINS], [PwmChip("pwmchip0", "fe20c000.pwm", 2)])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gpio:gpiochip0", "gpio:gpiochip0"),
        ("gpio:gpiochip4", "gpio:gpiochip0"),
        ("gpio:board", "gpio:gpiochip0"),
        ("gpio:gpiochip0/1", "gpio:gpiochip0/1"),
        ("gpio:gpiochip4/LED", "gpio:gpiochip0/1"),
        ("gpio:board/LED", "gpio:gpiochip0/1"),
        ("gpio:LED", "gpio:gpiochip0/1"),
        ("gpio:spare", "gpio:gpiochip1"),
        ("gpio:gpiochip0/spare", "gpio:gpiochip0/6"),
        ("gpio:pwmchip0", "gpio:pwmchip0"),
        ("gpio:pwmchip0/1", "gpio:pwmchip0/1"),
        ("gpio:17", "gpio:gpiochip0/4"),
        ("gpio:gpiochip0/%4CED", "gpio:gpiochip0/1"),
    ],
)
def test_names_and_what_they_mean(name: str, found: str) -> None:
    resource = NAMES.find(name)
    assert resource is not None
    assert resource.name == found


@pytest.mark.parametrize(
    "name",
    [
        "gpio:", "gpio:gpiochip9", "gpio:gpiochip0/", "gpio:gpiochip0/7", "gpio:gpiochip0/17", "gpio:gpiochip0/-1",
        "gpio:gpiochip0/1/2", "gpio:twin", "gpio:pwmchip0/2", "gpio:pwmchip0/LED", "gpio:NOPE", "gpio:NOPE/1",
        "serial:gpiochip0", "gpio:/1", "gpiochip0", "gpio:gpiochip0/%ZZ", "gpio:gpiochip0/²",
    ],
)  # fmt: skip
def test_names_of_nothing(name: str) -> None:
    assert NAMES.find(name) is None


def test_ambiguous_names_are_told_apart_from_unknown_ones() -> None:
    with pytest.raises(BadRequest, match="gpiochip0/0, gpiochip1/1"):
        NAMES.find("gpio:BUTTON")
    with pytest.raises(BadRequest, match="use an offset"):
        NAMES.find("gpio:gpiochip0/NC")


def test_a_line_hangs_on_its_chip_and_the_chip_on_its_adapter() -> None:
    line = NAMES.find("gpio:gpiochip1/0")
    assert line is not None
    assert line.parent == "gpio:gpiochip1"
    assert NAMES.chip(SPARE).parent == "usb:1-1.4"
    channel = NAMES.find("gpio:pwmchip0/1")
    assert channel is not None
    assert channel.parent == "gpio:pwmchip0"


@given(st.lists(st.text(max_size=31), min_size=1, max_size=6), st.text(min_size=1, max_size=31))
def test_every_name_of_a_resource_leads_back_to_it(line_names: list[str], label: str) -> None:
    names = Names([Chip("gpiochip0", label, tuple(line_names)), SPARE], [PwmChip("pwmchip0", "x", 1)])
    lines = [names.line(chip, n) for chip in names.chips for n in range(len(chip.line_names))]
    for resource in [*names.resources(), *lines]:
        for name in (resource.name, *resource.aliases):
            found = names.find(name)
            if name == f"gpio:{resource_part(label)}" and names.find(name) != resource:
                continue  # a label that is also the name of a chip means the chip of that name
            assert found is not None, name
            assert found.name == resource.name
