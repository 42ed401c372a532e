"""A GPIO driver on simulated chips, as most tests of it want one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from loop_context import CollectingSink, LoopContext

from myclerk_drivers.base import Resource
from myclerk_drivers.gpio import GpioDriver
from myclerk_drivers.gpio.lines import Lines
from myclerk_drivers.gpio.simulated import SimulatedGpio
from myclerk_drivers.gpio.watching import EdgeStream

Run = Callable[[Coroutine[Any, Any, Any]], Any]

BUTTON, LED, RELAY, SENSOR = range(4)
"""Offsets of the first chip."""

BOARD: Mapping[str, Any] = {
    "chips": [
        {
            "label": "board",
            "lines": ["BUTTON", "LED", "RELAY", "SENSOR", "TWIN", "TWIN", "", "17"],
            "pulls": {"BUTTON": "up"},
        },
        {"label": "spare", "lines": ["", "", "SPARE", "TWIN"]},
        {"label": "wide", "lines": 70},
    ],
    "wires": [["gpiochip0/LED", "gpiochip0/SENSOR"]],
    "pwm-chips": [2],
}


class Bench:
    """The driver, its simulated hardware and its context, on the running event loop."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.board = SimulatedGpio.from_description(BOARD)
        self.context = LoopContext(settings)
        self.driver = GpioDriver(self.context, self.board)

    def resource(self, name: str) -> Resource:
        found = self.driver.find(f"gpio:{name}")
        assert found is not None, name
        return found

    def request(self, resource: str, *lines: int | str | Mapping[str, Any], **common: Any) -> Lines:
        """Request ``lines`` (identifiers or with settings) of a chip, or the line that ``resource`` is."""
        given = [line if isinstance(line, Mapping) else {"line": line} for line in lines]
        return self.driver.request_lines(self.resource(resource), given or None, **common)

    def info(self, line: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.driver.line_info(self.resource(line))["lines"][0]
        return {name: value for name, value in found.items() if value is not None}

    def level(self, name: str) -> bool:
        """The electrical level of a line of the first chip."""
        return self.board.level("gpiochip0", self.resource(f"gpiochip0/{name}").properties["offset"])

    def push(self, name: str, level: bool | None) -> None:
        """A button on a line of the first chip."""
        self.board.push("gpiochip0", self.resource(f"gpiochip0/{name}").properties["offset"], level)


def watched(lines: Lines, *which: int, edges: str = "both", credit: int = 10_000) -> CollectingSink:
    stream = lines.watch(list(which) or None, edges)
    assert isinstance(stream, EdgeStream)
    return CollectingSink(stream, credit).start()


def seen(sink: CollectingSink) -> list[tuple[int, str]]:
    return [(event["line"], event["edge"]) for event in sink.events]
