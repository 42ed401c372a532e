"""A serial port: through the agent, through ser2net, and the pty by itself."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import tempfile
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter

from myclerk_client.known import KnownBoard, KnownBoards
from myclerk_client.serial import SerialPort

from . import ser2net
from .board import connected, paired, running_agent
from .machine import Placement, announced, desktop_core
from .measure import MEDIAN, PER_SECOND, Measure, Metrics, in_turns, latencies, run
from .report import Section
from .settings import Settings

SUBJECT, BARE = "myclerk", "the pty alone"
DEFAULTS, FAST_LINE, NO_DELAY = "ser2net", "ser2net, 115200 baud", "ser2net, chardelay: false"
PEERS = {
    DEFAULTS: ("", {}),
    FAST_LINE: ("115200n81", {}),
    NO_DELAY: ("", {"chardelay": "false"}),
}
"""What ser2net is told: speed and options. The delay that it waits for more depends on the speed."""

MESSAGE = b"8 bytes."
ROUND_TRIPS = {SUBJECT: 3000, BARE: 3000, DEFAULTS: 150, FAST_LINE: 300, NO_DELAY: 3000}
"""Round trips of one slice."""

BULK = 1 << 20
BOTH_WAYS = "mib-per-second"
TIMEOUT = 60.0


def measure(settings: Settings) -> Section:
    """8-byte echo round trips, then 1 MiB both ways at once."""
    section = Section("serial")
    if ser2net.program() is None:
        section.missing.append(ser2net.HOW_TO_GET_IT)
    for placement in settings.placements:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            descriptors = {BARE: _opened(stack, placement)}
            if ser2net.program() is not None:
                for name, (speed, options) in PEERS.items():
                    device = stack.enter_context(announced("bench.pty_echo", placement.board))
                    peer = ser2net.running(directory, placement.board, device, speed, options)
                    descriptors[name] = stack.enter_context(peer).fileno()
            device = stack.enter_context(announced("bench.pty_echo", placement.board))
            ports = f'[drivers.serial]\nports = {{echo = "{device}"}}\n'
            agent = stack.enter_context(running_agent(directory, placement.board, ports))
            stack.enter_context(desktop_core(placement.desktop))
            known, boards = run(paired(agent, directory / "client"))
            run(_contest(settings, section, placement.name, descriptors, known, boards))
    return section


def _opened(stack: ExitStack, placement: Placement) -> int:
    """A pty with an echo behind it, opened raw."""
    device = stack.enter_context(announced("bench.pty_echo", placement.board))
    descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY)
    stack.callback(os.close, descriptor)
    tty.setraw(descriptor)
    return descriptor


async def _contest(
    settings: Settings,
    section: Section,
    placement: str,
    descriptors: dict[str, int],
    known: KnownBoard,
    boards: KnownBoards,
) -> None:
    async with connected(known, boards) as board, await board.serial.open("echo") as port:
        counts = {name: settings.count(count) for name, count in ROUND_TRIPS.items()}
        echoes: dict[str, Measure] = {SUBJECT: lambda: _echo(port, counts[SUBJECT])}
        for name, descriptor in descriptors.items():
            echoes[name] = lambda name=name, fd=descriptor: _blocking_echo(fd, counts[name])
        series = await in_turns(echoes, settings.rounds)
        section.add("8-byte echo", placement, series)
        size = settings.count(BULK)
        floods: dict[str, Measure] = {SUBJECT: lambda: _flood(port, size)}
        for name, descriptor in descriptors.items():
            floods[name] = lambda fd=descriptor: _blocking_flood(fd, size)
        bulk = await in_turns(floods, settings.rounds)
        section.add("1 MiB both ways", placement, bulk)
