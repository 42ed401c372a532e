"""The simulated chips: their description, their wires, and the kernel's rules."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from gpio_bench import BOARD, Run
from loop_context import LoopContext

from myclerk_drivers.gpio import GpioDriver
from myclerk_drivers.gpio.backend import LineSettings
from myclerk_drivers.gpio.simulated import SimulatedGpio

OUTPUT = LineSettings("output")


def test_the_driver_is_made_from_a_description(run: Run) -> None:
    async def main() -> None:
        driver = GpioDriver.simulated(LoopContext(), BOARD)
        assert [resource.name for resource in driver.resources()] == [
            "gpio:gpiochip0", "gpio:gpiochip1", "gpio:gpiochip2",
            "gpio:pwmchip0", "gpio:pwmchip0/0", "gpio:pwmchip0/1",
        ]  # fmt: skip

    run(main())


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({}, "gpio"),
        ({"chip": []}, "chip"),
        ({"chips": {}}, "gpio.chips"),
        ({"chips": ["board"]}, "gpio.chips"),
        ({"chips": [{}]}, "gpio.chips.lines"),
        ({"chips": [{"lines": 0}]}, "gpio.chips.lines"),
        ({"chips": [{"lines": True}]}, "gpio.chips.lines"),
        ({"chips": [{"lines": [1]}]}, "gpio.chips.lines"),
        ({"chips": [{"lines": ["x" * 32]}]}, "gpio.chips.lines"),
        ({"chips": [{"lines": 4, "name": "x"}]}, "name"),
        ({"chips": [{"lines": 4, "label": 3}]}, "gpio.chips.label"),
        ({"chips": [{"lines": 4, "pulls": ["up"]}]}, "gpio.chips.pulls"),
        ({"chips": [{"lines": 4, "pulls": {"0": "left"}}]}, "gpio.chips.pulls.0"),
        ({"chips": [{"lines": 4, "pulls": {"4": "up"}}]}, "gpio.chips.pulls.4"),
        ({"chips": [{"lines": 4}], "wires": [["gpiochip0/1"]]}, "gpio.wires"),
        ({"chips": [{"lines": 4}], "wires": [["gpiochip0/1", "gpiochip1/2"]]}, "gpio.wires"),
        ({"chips": [{"lines": 4}], "wires": [["gpiochip0/1", "gpiochip0/4"]]}, "gpio.wires"),
        ({"chips": [{"lines": 4}], "wires": "gpiochip0/1"}, "gpio.wires"),
        ({"pwm-chips": [0]}, "gpio.pwm-chips"),
        ({"pwm-chips": 2}, "gpio.pwm-chips"),
    ],
    ids=str,
)
def test_a_wrong_description_names_the_key(table: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=f"`{key}"):
        SimulatedGpio.from_description(table)


def test_wires_join_across_chips_and_with_each_other() -> None:
    board = SimulatedGpio.from_description(
        {
            "chips": [{"lines": 4}, {"lines": ["A", "B"]}],
            "wires": [["gpiochip0/0", "gpiochip1/A"], ["gpiochip1/A", "gpiochip0/3"]],
        }
    )
    request = board.request("gpiochip0", {3: LineSettings("output", value=True)}, "test")
    assert [board.level("gpiochip0", 0), board.level("gpiochip1", 0), board.level("gpiochip1", 1)] == [
        True, True, False,
    ]  # fmt: skip
    request.release()
    request.release()
    assert not board.level("gpiochip1", 0)


def test_low_wins_when_outputs_fight_and_a_drive_wins_over_a_pull() -> None:
    board = SimulatedGpio.from_description(
        {"chips": [{"lines": 2, "pulls": {"0": "up"}}], "wires": [["gpiochip0/0", "gpiochip0/1"]]}
    )
    assert board.level("gpiochip0", 1)
    high = board.request("gpiochip0", {0: LineSettings("output", value=True)}, "test")
    low = board.request("gpiochip0", {1: OUTPUT}, "test")
    assert not board.level("gpiochip0", 0)
    high.release()
    low.release()


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ({0: LineSettings("output", edges="both")}, errno.EINVAL),
        ({0: LineSettings("input", drive="open-drain")}, errno.EINVAL),
        ({0: LineSettings("as-is", bias="pull-up")}, errno.EINVAL),
        ({0: LineSettings("output", debounce=1.0)}, errno.EINVAL),
        ({0: LineSettings(event_clock="hte")}, errno.EOPNOTSUPP),
        ({9: LineSettings()}, errno.ENODEV),
        ({1: LineSettings()}, errno.EBUSY),
        ({0: LineSettings(), 1: LineSettings()}, errno.EBUSY),
    ],
    ids=str,
)
def test_the_kernels_rules(lines: dict[int, LineSettings], number: int) -> None:
    board = SimulatedGpio.from_description({"chips": [{"lines": 2}]})
    taken = board.request("gpiochip0", {1: OUTPUT}, "test")
    with pytest.raises(OSError, match=r".") as refusal:
        board.request("gpiochip0", lines, "test")
    assert refusal.value.errno == number
    with pytest.raises(OSError, match=r"."):
        taken.configure({1: LineSettings("output", edges="rising")})
    taken.release()
    board.request("gpiochip0", {0: OUTPUT, 1: OUTPUT}, "test").release()


def test_a_bias_makes_no_edge_when_it_is_requested() -> None:
    board = SimulatedGpio.from_description({"chips": [{"lines": 1}]})
    request = board.request("gpiochip0", {0: LineSettings(bias="pull-up", edges="both")}, "test")
    assert request.get([0]) == [True]
    assert request.read_edges() == []
    board.push("gpiochip0", 0, False)
    board.push("gpiochip0", 0, None)
    assert [edge.rising for edge in request.read_edges()] == [False, True]
    request.release()
