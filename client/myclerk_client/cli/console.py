"""`myclerk serial console`: a terminal on a remote port, and a pipe to and from it in scripts."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import click

from myclerk_protocol.status import DeviceGone, OperationError

from ..board import Board
from ..serial import SerialPort
from .app import App, until_first, with_board
from .keys import HELP, Action, EscapeReader, LineEnds
from .options import Command
from .output import Output
from .ports import port_argument, settings_options, summary
from .terminal import chunks, raw_terminal


@click.command(cls=Command)
@port_argument
@settings_options
@click.option("--echo", is_flag=True, help="Show what is typed.")
@click.option("--crlf", is_flag=True, help="Send CR LF for each line end.")
@click.option("--log", type=click.File("ab", lazy=False), metavar="FILE", help="Append what is received.")
@click.option(
    "--idle", type=click.FloatRange(0), default=0.5, show_default=True, metavar="SECONDS",
    help="Without a terminal: end after this much silence behind the end of standard input.",
)  # fmt: skip
@with_board(limited=False)
async def console(
    app: App, board: Board, port: str, settings: dict[str, Any], echo: bool, crlf: bool,
    log: IO[bytes] | None, idle: float,
) -> None:  # fmt: skip
    """Talk to a serial port. Ctrl-] then q quits, Ctrl-] then ? shows all keys.

    Without a terminal, standard input is sent and what comes is printed.

    Example: myclerk serial console ttyUSB0 --baud 115200
    """
    opened = await board.serial.open(port, **settings)
    source = sys.stdin.fileno()
    sink = Sink(app.output, log)
    talk = Conversation(opened, sink, source, crlf=crlf, echo=echo and not app.as_json)
    if not sys.stdin.isatty():
        await talk.pipe(idle)
        return
    with raw_terminal(source):
        sink.note(f"{opened.resource} at {summary(opened.settings)}; Ctrl-] ? for help, Ctrl-] q to quit")
        await talk.interact()
    app.output.note("closed")


@dataclass(slots=True)
class Sink:
    """Where received bytes go: standard output and the log. Written on a thread, which may block."""

    output: Output
    log: IO[bytes] | None

    async def received(self, data: bytes) -> None:
        """Bytes of the port."""
        if self.log is not None:
            self.log.write(data)
            self.log.flush()
        await self.show(data)

    async def show(self, data: bytes) -> None:
        """Bytes to be seen only."""
        await asyncio.to_thread(self.output.data, data)

    def note(self, text: str) -> None:
        """A line of our own amid raw output."""
        self.output.note(text, end="\r\n")


class Conversation:
    """One port, one input descriptor, one sink. What is typed is sent in order by a task of its own, so that
    Ctrl-] q works while flow control holds everything else back."""

    def __init__(self, port: SerialPort, sink: Sink, source: int, *, crlf: bool, echo: bool) -> None:
        self._port = port
        self._sink = sink
        self._source = source
        self._line_ends = LineEnds() if crlf else None
        self._echo = echo
        self._heard = asyncio.Event()

    async def interact(self) -> None:
        """Until Ctrl-] q."""
        typed: asyncio.Queue[bytes | Action] = asyncio.Queue()
        await until_first(self._receive(), self._send(typed), self._keyboard(typed))

    async def pipe(self, idle: float) -> None:
        """Until the input's end and ``idle`` seconds of silence."""
        given: asyncio.Queue[bytes | Action] = asyncio.Queue(maxsize=1)
        await until_first(self._receive(), self._send(given), self._copy(given, idle))

    async def _receive(self) -> None:
        while data := await self._port.read():
            await self._sink.received(data)
            self._heard.set()
        raise DeviceGone(f"{self._port.resource} hung up")

    async def _send(self, queue: asyncio.Queue[bytes | Action]) -> None:
        while True:
            item = await queue.get()
            if isinstance(item, bytes):
                data = item if self._line_ends is None else self._line_ends.convert(item)
                if self._echo:
                    await self._sink.show(data)
                await self._port.write(data)
            else:
                await self._act(item)
            queue.task_done()

    async def _keyboard(self, queue: asyncio.Queue[bytes | Action]) -> None:
        reader = EscapeReader()
        async for typed in chunks(self._source):
            for item in reader.feed(typed):
                if item is Action.QUIT:
                    return
                if item is Action.HELP:
                    for action, meaning in HELP.items():
                        self._sink.note(f"Ctrl-] {action.value}  {meaning}")
                else:
                    queue.put_nowait(item)

    async def _copy(self, queue: asyncio.Queue[bytes | Action], idle: float) -> None:
        async for data in chunks(self._source):
            await queue.put(data)
        await queue.join()
        await self._port.write(b"", drain=True)
        with suppress(TimeoutError):
            while True:
                self._heard.clear()
                async with asyncio.timeout(idle):
                    await self._heard.wait()

    async def _act(self, action: Action) -> None:
        """Do what a key asks for; a port that cannot says so, and the conversation goes on."""
        try:
            if action is Action.BREAK:
                await self._port.send_break()
                self._sink.note("break sent")
            else:
                line = action.name.lower()
                level = not (await self._port.lines())[line]
                await self._port.set_lines(**{line: level})
                self._sink.note(f"{action.name} {'on' if level else 'off'}")
        except DeviceGone:
            raise
        except OperationError as error:
            self._sink.note(error.message)
