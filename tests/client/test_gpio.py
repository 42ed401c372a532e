"""`board.gpio`: how lines may be named, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli_board import TableLink

from myclerk_client import Gpio
from myclerk_client.gpio import _resource
from myclerk_protocol.status import LocalError


class Sent(TableLink):
    """Notes what is asked; every request of lines is answered with as many as it names."""

    def __init__(self) -> None:
        super().__init__({}, [])
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def request(
        self, name: str, fields: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        self.asked.append((name, fields))
        lines = [{"offset": n, "name": f"L{n}"} for n, _ in enumerate(fields.get("lines") or [])]
        self._answers["GPIO_LINE_REQUEST"] = {"handle": 1, "chip": "gpio:gpiochip0", "lines": lines}
        self._answers["GPIO_LINE_GET"] = {"values": [True] * len(lines)}
        self._answers["GPIO_PWM_CONFIGURE"] = {
            "handle": 2, "source": "hardware", "period_ns": 1, "duty_ns": 0, "polarity": "normal", "enabled": True,
        }  # fmt: skip
        return await super().request(name, fields, timeout=timeout)


def asked(story: Callable[[Gpio], Awaitable[Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    link = Sent()

    async def run() -> None:
        await story(Gpio(link))  # type: ignore[arg-type]

    asyncio.run(run())
    return link.asked


@pytest.mark.parametrize(
    ("lines", "chip", "resource", "sent"),
    [
        ("LED", None, "gpio:LED", [{"line": "LED"}]),
        (["LED", "RELAY"], None, "gpio:LED", [{"line": "LED"}, {"line": "RELAY"}]),
        ("gpiochip0/17", None, "gpio:gpiochip0", [{"line": 17}]),
        ("gpio:gpiochip0/17", None, "gpio:gpiochip0", [{"line": 17}]),
        (["RELAY", "gpiochip0/17"], None, "gpio:gpiochip0", [{"line": "RELAY"}, {"line": 17}]),
        ([17, "LED"], "gpiochip0", "gpio:gpiochip0", [{"line": 17}, {"line": "LED"}]),
        ("17", "gpio:gpiochip0", "gpio:gpiochip0", [{"line": 17}]),
        ("17", None, "gpio:17", [{"line": "17"}]),
        ("PIN 7", None, "gpio:PIN%207", [{"line": "PIN 7"}]),
        ("gpio:gpiochip0/PIN%207", None, "gpio:gpiochip0", [{"line": "PIN 7"}]),
        ("a/b", "gpiochip0", "gpio:gpiochip0", [{"line": "a/b"}]),
        ({"LED": True}, None, "gpio:LED", [{"line": "LED", "direction": "output", "value": True}]),
        ({"LED": {"bias": "pull-up"}}, None, "gpio:LED", [{"line": "LED", "bias": "pull-up"}]),
    ],
    ids=str,
)
def test_ways_to_name_lines(lines: Any, chip: str | None, resource: str, sent: list[dict[str, Any]]) -> None:
    async def story(gpio: Gpio) -> None:
        await gpio.request(lines, chip=chip)

    ((name, fields),) = asked(story)
    assert name == "GPIO_LINE_REQUEST"
    assert (fields["resource"], fields["lines"]) == (resource, sent)


@pytest.mark.parametrize(
    "lines", [[], {}, 17, [17], ["gpiochip0/1", "gpiochip1/1"], ["gpio:gpiochip0/1", "gpiochip1/1"]], ids=str
)
def test_lines_that_name_no_chip_or_several_are_not_sent(lines: Any) -> None:
    async def story(gpio: Gpio) -> None:
        with pytest.raises(LocalError):
            await gpio.request(lines)

    assert asked(story) == []


@given(st.text(min_size=1).filter(lambda name: "/" not in name and not name.startswith("gpio:")))
def test_any_name_makes_a_resource_of_plain_characters(name: str) -> None:
    resource = _resource(name, None)
    assert resource.startswith("gpio:")
    assert set(resource[5:]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%")


def test_lines_go_by_the_names_they_were_asked_for() -> None:
    async def story(gpio: Gpio) -> None:
        lines = await gpio.request(["A", "gpiochip0/5"])
        assert lines.offsets == {"A": 0, "gpiochip0/5": 1}
        assert await lines.get("gpiochip0/5") == {"gpiochip0/5": True}
        assert await lines.get() == {"A": True, "gpiochip0/5": True}
        assert await lines.value("A") is True
        with pytest.raises(LocalError):
            await lines.value()
        await lines.set({"gpiochip0/5": 1, "A": False})
        await lines.close()
        await lines.close()
        with pytest.raises(Exception, match="was closed here"):
            await lines.get()

    sent = asked(story)
    assert [fields["lines"] for name, fields in sent if name == "GPIO_LINE_GET"] == [[1], [0, 1], [0]]
    assert [fields for name, fields in sent if name == "GPIO_LINE_SET"] == [
        {"handle": 1, "lines": [1, 0], "values": [True, False]}
    ]
    assert [name for name, _ in sent].count("GPIO_LINE_RELEASE") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"frequency": 0},
        {"frequency": -5.0},
        {"frequency": 50, "period_ns": 3},
        {"frequency": float("nan")},
    ],
    ids=str,
)
def test_pwm_needs_one_frequency(fields: dict[str, Any]) -> None:
    async def story(gpio: Gpio) -> None:
        with pytest.raises(LocalError):
            await gpio.pwm("LED", **fields)

    assert asked(story) == []


def test_a_frequency_is_sent_as_a_period() -> None:
    async def story(gpio: Gpio) -> None:
        output = await gpio.pwm("pwmchip0/1", frequency=25_000, duty=0.4)
        assert output.state["source"] == "hardware"

    ((_, fields),) = asked(story)
    assert (fields["resource"], fields["period_ns"], fields["duty"]) == ("gpio:pwmchip0/1", 40_000, 0.4)
