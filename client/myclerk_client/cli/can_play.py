"""`myclerk can play`: what canplayer does, on a board's interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TextIO

import click

from ..board import Board
from ..can import CanBus
from ..can_frames import Frame
from .app import App, with_board
from .can_text import parse_log_line
from .options import Command

AT_ONCE = 0.001
"""Seconds; frames that are due so soon go together."""
MOST_AT_ONCE = 512


@click.command(cls=Command)
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@click.argument("assignments", nargs=-1, metavar="[INTERFACE=LOGGED]...")
@click.option(
    "-t", "ignore_times", is_flag=True, help="As fast as the bus takes them, whatever the times say."
)
@click.option("-l", "loops", type=click.IntRange(1), default=1, help="Play it so many times.")
@with_board(limited=False)
async def play(
    app: App, board: Board, file: TextIO, assignments: tuple[str, ...], ignore_times: bool, loops: int
) -> None:
    """Send the frames of a candump log FILE at their times; - reads standard input.

    They go to the interface that they were logged on, or can1 for can0 with can1=can0. Error frames are left out.

    Example: myclerk can play drive.log can1=can0
    """
    names = dict(_assignment(text) for text in assignments)
    records = [(moment, names.get(name, name), frame) for moment, name, frame in _records(file)]
    sendable = [record for record in records if not record[2].is_error_frame]
    buses = {name: await board.can.open(name, filters=[]) for name in {name for _, name, _ in sendable}}
    for _ in range(loops):
        await _play_once(sendable, buses, ignore_times)
    app.output.document({"sent": len(sendable) * loops, "skipped": (len(records) - len(sendable)) * loops})


async def _play_once(
    records: list[tuple[int, str, Frame]], buses: dict[str, CanBus], ignore_times: bool
) -> None:
    """Send in order; what is due together and goes to one interface goes as one request."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    first = records[0][0] if records else 0
    position = 0
    while position < len(records):
        moment, name, _ = records[position]
        if not ignore_times:
            await asyncio.sleep(max((moment - first) / 1e9 - (loop.time() - started), 0))
        due = first + (loop.time() - started + AT_ONCE) * 1e9
        batch: list[Frame] = []
        while position < len(records) and len(batch) < MOST_AT_ONCE:
            next_moment, next_name, frame = records[position]
            if batch and (next_name != name or not (ignore_times or next_moment <= due)):
                break
            batch.append(frame)
            position += 1
        await buses[name].send_many(batch)


def _records(file: TextIO) -> Iterator[tuple[int, str, Frame]]:
    for number, line in enumerate(file, 1):
        try:
            record = parse_log_line(line)
        except ValueError as error:
            raise click.UsageError(f"{file.name}:{number}: {error}") from None
        if record is not None:
            yield record


def _assignment(text: str) -> tuple[str, str]:
    target, mark, logged = text.partition("=")
    if not (target and mark and logged):
        raise click.UsageError(f"{text!r} is no assignment; write can1=can0")
    return logged, target
