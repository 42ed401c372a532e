"""`myclerk gpio mon`: edges of lines, as text, JSON, or a recording that a wave viewer opens."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any, TextIO

import click

from ..board import Board
from ..gpio import Lines
from ..streams import EventStream
from .app import App, with_board
from .gpio_options import duration, lines_argument, settings_options
from .options import Command
from .vcd import VcdWriter

_SPECIFIER = re.compile(r"%[oceElSULns%]")


@click.command(cls=Command)
@lines_argument()
@settings_options
@click.option(
    "-e", "--edges", type=click.Choice(["rising", "falling", "both"]), default="both", show_default=True
)
@click.option("-n", "--num-events", type=click.IntRange(1), help="End after so many edges.")
@click.option(
    "-p",
    "--debounce-period",
    "debounce",
    type=duration,
    help="Levels shorter than this are no edges. [default unit: ms]",
)
@click.option("--idle-timeout", type=duration, help="End after so long without an edge. [default unit: ms]")
@click.option(
    "-E",
    "--event-clock",
    type=click.Choice(["monotonic", "realtime", "hte"]),
    default="monotonic",
    show_default=True,
    help="Where the kernel takes the timestamps from.",
)
@click.option(
    "-F",
    "--format",
    "template",
    metavar="FORMAT",
    help="Each edge as FORMAT: %o offset, %l name, %c chip, %e 1 rising or 2 falling, %E the word, "
    "%S timestamp in seconds, %n in nanoseconds, %U as UTC, %L as local time, %s sequence, %%.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print no edges.")
@click.option(
    "--vcd", type=click.File("w", encoding="ascii"), help="Record into FILE, for GTKWave and the like."
)
@with_board(limited=False)
async def mon(
    app: App, board: Board, lines: tuple[str, ...], chip: str | None, settings: dict[str, Any], edges: str,
    num_events: int | None, debounce: float | None, idle_timeout: float | None, event_clock: str,
    template: str | None, quiet: bool, vcd: TextIO | None,
) -> None:  # fmt: skip
    """Show edges of LINEs of one chip until Ctrl-C, with the time that the board's kernel noted.

    Example: myclerk gpio mon BUTTON --bias pull-up --num-events 10
    """
    if debounce:
        settings["debounce"] = debounce
    async with await board.gpio.request(lines, chip=chip, event_clock=event_clock, **settings) as requested:
        stream = await requested.watch(edges=edges)
        writer = None if vcd is None else await _recording(vcd, requested)
        told = 0
        async for event in _limited(stream, num_events, idle_timeout):
            if stream.dropped > told:
                app.output.note(f"{stream.dropped - told} edges were lost before this one")
                told = stream.dropped
            if writer is not None:
                writer.change(event["timestamp_ns"], event["line"], event["edge"] == "rising")
            if not quiet:
                text = (
                    _formatted(template, event, requested.resource) if template else _line(event, requested)
                )
                app.output.document(event, text)


async def _recording(file: TextIO, lines: Lines) -> VcdWriter:
    values = await lines.get()
    offsets = {offset: line for line, offset in lines.offsets.items()}
    signals = {offset: (str(lines.names[offset] or line), values[line]) for offset, line in offsets.items()}
    return VcdWriter(file, signals)


async def _limited(
    stream: EventStream, count: int | None, idle_timeout: float | None
) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream, at most ``count``, until none comes for ``idle_timeout`` seconds."""
    left = count
    while left is None or left > 0:
        try:
            event = await asyncio.wait_for(stream.next(), idle_timeout)
        except TimeoutError:
            return
        if event is None:
            return
        yield event
        left = None if left is None else left - 1


def _line(event: dict[str, Any], lines: Lines) -> str:
    name = f' "{event["name"]}"' if "name" in event else ""
    seconds = _seconds(event["timestamp_ns"])
    chip = lines.resource.removeprefix("gpio:")
    return f"{seconds}  {event['edge']:<7}  {chip} {event['line']}{name}"


def _formatted(template: str, event: dict[str, Any], chip: str) -> str:
    stamp = event["timestamp_ns"]
    meanings = {
        "%o": str(event["line"]),
        "%l": str(event.get("name", "")),
        "%c": chip.removeprefix("gpio:"),
        "%e": "1" if event["edge"] == "rising" else "2",
        "%E": str(event["edge"]),
        "%S": _seconds(stamp),
        "%n": str(stamp),
        "%U": _date(time.gmtime(stamp // 10**9), stamp) + "Z",
        "%L": _date(time.localtime(stamp // 10**9), stamp),
        "%s": str(event["sequence"]),
        "%%": "%",
    }
    return _SPECIFIER.sub(lambda found: meanings[found[0]], template)


def _seconds(stamp: int) -> str:
    return f"{stamp // 10**9}.{stamp % 10**9:09}"


def _date(moment: time.struct_time, stamp: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{stamp % 10**9:09}"
