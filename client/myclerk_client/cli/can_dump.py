"""`myclerk can dump`: what candump does, on a board's interfaces."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click

from ..board import Board
from ..can import CanBus
from ..can_frames import Frame
from .app import App, with_board
from .can_text import ALL_ERRORS, Clock, Source, log_line, long_line
from .names import complete_interface
from .options import Command


@dataclass(frozen=True, slots=True)
class View:
    """What the options ask to be shown: at most ``limit`` frames, with ``errors`` in words, data as ``ascii``,
    ``extra`` for who sent it, or all of it as lines of a log."""

    limit: int | None
    errors: bool
    ascii: bool
    extra: bool
    as_log: bool


class Printer:
    """Shows frames in the way that the options ask for; ``full`` when it has shown as many as wanted."""

    def __init__(
        self, app: App, names: list[str], clock: Clock | None, log: TextIO | None, view: View
    ) -> None:
        self.count = 0
        self._app = app
        self._width = max(map(len, names))
        self._clock = clock
        self._log = log
        self._view = view
        self._indent = False

    @property
    def full(self) -> bool:
        """Whether -n frames were shown."""
        return self._view.limit is not None and self.count >= self._view.limit

    def show(self, name: str, frame: Frame) -> None:
        """One frame of the interface ``name``."""
        self.count += 1
        if self._log is not None:
            self._log.write(log_line(name, frame) + "\n")
            return
        if self._view.as_log and not self._app.as_json:
            self._app.output.say(log_line(name, frame))
            return
        self._indent = self._indent or frame.is_extended_id
        stamp = f" {self._clock.show(frame.timestamp_ns)}" if self._clock else ""
        extra = ("  TX" if not frame.is_rx else "  RX") if self._view.extra else ""
        body = long_line(frame, indent=self._indent, ascii=self._view.ascii)
        lines = [f"{stamp}  {name:>{self._width}}{extra}  {body}"]
        if self._view.errors and frame.error is not None:
            lines.append(f"    {frame.error}")
        self._app.output.document(_record(name, frame), *lines)


@click.command(cls=Command)
@click.argument(
    "sources", nargs=-1, required=True, metavar="INTERFACE[,FILTER...]...", shell_complete=complete_interface
)
@click.option("-n", "limit", type=click.IntRange(1), help="End after so many frames.")
@click.option("-T", "silence", type=click.IntRange(1), metavar="MS", help="End after so long without any.")
@click.option(
    "-t",
    "stamps",
    type=click.Choice(["a", "A", "d", "z"]),
    help="Show time: absolute, with date, delta, from zero.",
)
@click.option("-e", "errors", is_flag=True, help="Error frames in words; all of them, if no #MASK is given.")
@click.option("-a", "ascii", is_flag=True, help="Data as text, too.")
@click.option("-x", "extra", is_flag=True, help="Show whether a program on the board sent it (TX).")
@click.option("-L", "as_log", is_flag=True, help="Lines as in a log file.")
@click.option("-l", "to_log", is_flag=True, help="Write a log file here, candump-DATE.log.")
@click.option("-f", "log_file", type=click.Path(dir_okay=False, path_type=Path), help="Write this log file.")
@with_board(limited=False)
async def dump(
    app: App, board: Board, sources: tuple[str, ...], limit: int | None, silence: int | None,
    stamps: str | None, errors: bool, ascii: bool, extra: bool, as_log: bool, to_log: bool, log_file: Path | None,
) -> None:  # fmt: skip
    """Show the frames on CAN buses until Ctrl-C, as candump does.

    FILTERs, hexadecimal: ID:MASK, ID~MASK (inverted), #MASK (error frames), j (all must fit).

    Example: myclerk can dump can0,123:7FF,#FFFFFFFF -t d -e
    """
    wanted = [_source(text) for text in sources]
    if to_log and log_file is None:
        log_file = Path(time.strftime("candump-%Y-%m-%d_%H%M%S.log"))
    with ExitStack() as stack:
        log = stack.enter_context(_opened(log_file, to_log)) if log_file else None
        buses = []
        for source in wanted:
            mask = source.error_mask if source.error_mask is not None or not errors else ALL_ERRORS
            bus = await board.can.open(
                source.interface, filters=source.filters, joined=source.joined, errors=mask
            )
            buses.append((source.interface.removeprefix("can:"), bus))
        clock = Clock(stamps) if stamps else None
        printer = Printer(
            app, [name for name, _ in buses], clock, log, View(limit, errors, ascii, extra, as_log)
        )
        await _show_all(buses, printer, None if silence is None else silence / 1000)
    if log_file is not None:
        app.output.note(f"{printer.count} frames in {log_file}")
    for name, bus in buses:
        if bus.dropped:
            app.output.note(f"{name}: {bus.dropped} frames were lost, they came too fast")


async def _show_all(buses: list[tuple[str, CanBus]], printer: Printer, silence: float | None) -> None:
    """Show what comes on all buses until there were enough frames, or none for ``silence`` seconds."""
    pending = {asyncio.ensure_future(bus.receive_many()): (name, bus) for name, bus in buses}
    try:
        while pending and not printer.full:
            done, _ = await asyncio.wait(pending, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                return
            for task in done:
                name, bus = pending.pop(task)
                frames = task.result()
                for frame in frames:
                    if not printer.full:
                        printer.show(name, frame)
                if frames:
                    pending[asyncio.ensure_future(bus.receive_many())] = (name, bus)
    finally:
        sys.stdout.flush()
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _record(name: str, frame: Frame) -> dict[str, Any]:
    record: dict[str, Any] = {
        "interface": name,
        "timestamp_ns": frame.timestamp_ns,
        "frame": str(frame),
        "arbitration_id": frame.arbitration_id,
        "data": frame.data.hex(),
    }
    flags = (
        "is_extended_id", "is_remote_frame", "is_fd", "bitrate_switch", "error_state_indicator", "is_error_frame",
    )  # fmt: skip
    record.update({flag: True for flag in flags if getattr(frame, flag)})
    if not frame.is_rx:
        record["is_rx"] = False
    if frame.error is not None:
        record["error"] = str(frame.error)
    return record


def _opened(path: Path, is_new: bool) -> TextIO:
    return path.open("x" if is_new else "w")


def _source(text: str) -> Source:
    try:
        return Source.parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
