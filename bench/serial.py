"""A serial port: through the agent, through ser2net, and the pty by itself."""

from __future__ import annotations

import asyncio
import os
import select
import tempfile
import tty
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from myclerk_client.known import KnownBoards
from myclerk_client.serial import SerialPort

from . import ser2net
from .board import connected, paired, running_agent
from .machine import Placement, announced, desktop_core
from .measure import MEDIAN, PER_SECOND, Measure, Metrics, Series, in_turns, latencies, run, with_cpu
from .report import Section
from .settings import Settings

SUBJECT, BARE = "myclerk", "the pty alone"
DEFAULTS, NO_DELAY = "ser2net", "ser2net, chardelay: false"
PEERS: Mapping[str, Mapping[str, str]] = {DEFAULTS: {}, NO_DELAY: {"chardelay": "false"}}
"""ser2net with its defaults (9600n81 among them, which means nothing to a pty), and at its quickest."""

MESSAGE = b"8 bytes."
ROUND_TRIPS = {SUBJECT: 3000, BARE: 3000, DEFAULTS: 150, NO_DELAY: 3000}
"""Round trips of one slice."""

MIB = 1 << 20
BULK = MIB
"""Bytes sent, and received back, in one slice."""

BOTH_WAYS = "mib-per-second"
ECHO_CASE, BULK_CASE = "8-byte echo", "1 MiB both ways"
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class _Peer:
    """A descriptor behind which there is an echo, and the process in between, if any."""

    pid: int | None
    descriptor: int


def measure(settings: Settings) -> Section:
    """8-byte echo round trips, then 1 MiB both ways at once."""
    section = Section("serial")
    if ser2net.program() is None:
        section.missing.append(ser2net.HOW_TO_GET_IT)
    for placement in settings.placements:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            peers = {BARE: _bare(stack, placement)}
            if ser2net.program() is not None:
                for name, options in PEERS.items():
                    device = _device(stack, placement)
                    peer = ser2net.running(directory, placement.board, device, options)
                    pid, connection = stack.enter_context(peer)
                    peers[name] = _Peer(pid, connection.fileno())
            ports = f'[drivers.serial]\nports = {{echo = "{_device(stack, placement)}"}}\n'
            agent = stack.enter_context(running_agent(directory, placement.board, ports))
            stack.enter_context(desktop_core(placement.desktop))
            boards = run(paired(agent, directory / "client"))
            run(_contest(settings, section, placement.name, agent.pid, peers, boards))
    return section


def _device(stack: ExitStack, placement: Placement) -> str:
    """A pty with an echo behind it."""
    _, device = stack.enter_context(announced("bench.pty_echo", placement.board))
    return device


def _bare(stack: ExitStack, placement: Placement) -> _Peer:
    """A pty opened here: nothing runs between this process and the device."""
    descriptor = os.open(_device(stack, placement), os.O_RDWR | os.O_NOCTTY)
    stack.callback(os.close, descriptor)
    tty.setraw(descriptor)
    return _Peer(None, descriptor)


async def _contest(
    settings: Settings,
    section: Section,
    placement: str,
    agent: int,
    peers: Mapping[str, _Peer],
    boards: KnownBoards,
) -> None:
    counts = {name: settings.count(count) for name, count in ROUND_TRIPS.items()}
    data = os.urandom(settings.count(BULK))
    async with connected(boards) as board, await board.serial.open("echo") as port:
        echoes = {SUBJECT: with_cpu(partial(_echo, port, counts[SUBJECT]), counts[SUBJECT], agent)}
        floods: dict[str, Measure] = {SUBJECT: partial(_flood, port, data)}
        for name, peer in peers.items():
            echo: Measure = partial(_echo_of, peer.descriptor, counts[name])
            echoes[name] = echo if peer.pid is None else with_cpu(echo, counts[name], peer.pid)
            floods[name] = partial(_flood_of, peer.descriptor, data)
        series = await in_turns(echoes, settings.rounds)
        bulk = await in_turns(floods, settings.rounds)
    section.add(ECHO_CASE, placement, series)
    section.add(BULK_CASE, placement, bulk)
    _compare(section, placement, series, bulk)


def _compare(section: Section, placement: str, series: Series, bulk: Series) -> None:
    """Ratios to every peer there was, and the targets."""
    rates, medians = {}, {}
    for peer in series:
        if peer != SUBJECT:
            rates[peer] = section.compare(ECHO_CASE, placement, series, PER_SECOND, SUBJECT, peer)
            medians[peer] = section.compare(ECHO_CASE, placement, series, MEDIAN, SUBJECT, peer)
            section.compare(BULK_CASE, placement, bulk, BOTH_WAYS, SUBJECT, peer)
    promise = f"at least 10 times the echo round trips of {DEFAULTS} with its defaults"
    section.judge(promise, placement, rates.get(DEFAULTS), lambda value: value >= 10)
    promise = f"median echo latency within 2.5 times that of {NO_DELAY}"
    section.judge(promise, placement, medians.get(NO_DELAY), lambda value: value <= 2.5)


async def _echo(port: SerialPort, count: int) -> Metrics:
    """Round trips as a program with the client library makes them: write, then read."""
    took = []
    begun = perf_counter()
    for _ in range(count):
        start = perf_counter()
        await port.write(MESSAGE)
        answer = await port.read_exactly(len(MESSAGE), timeout=TIMEOUT)
        took.append(perf_counter() - start)
        assert answer == MESSAGE
    return latencies(took, perf_counter() - begun)


async def _echo_of(descriptor: int, count: int) -> Metrics:
    """Round trips by two blocking system calls each, the least that a client of a peer can do."""
    took = []
    begun = perf_counter()
    for _ in range(count):
        start = perf_counter()
        os.write(descriptor, MESSAGE)
        answer = b""
        while len(answer) < len(MESSAGE):
            answer += os.read(descriptor, 64)
        took.append(perf_counter() - start)
        assert answer == MESSAGE
    return latencies(took, perf_counter() - begun)


async def _flood(port: SerialPort, data: bytes) -> Metrics:
    begun = perf_counter()
    writing = asyncio.create_task(port.write(data))
    received = await port.read_exactly(len(data), timeout=TIMEOUT)
    await writing
    elapsed = perf_counter() - begun
    assert received == data
    return {BOTH_WAYS: len(data) / elapsed / MIB}


async def _flood_of(descriptor: int, data: bytes) -> Metrics:
    """Write and read whatever is possible at any time, until everything is back."""
    received, view = bytearray(), memoryview(data)
    poll = select.poll()
    os.set_blocking(descriptor, False)
    begun = perf_counter()
    while len(received) < len(data):
        poll.register(descriptor, select.POLLIN | (select.POLLOUT if view else 0))
        ready = poll.poll(TIMEOUT * 1000)
        if not ready:
            raise TimeoutError("the echo stopped")
        if ready[0][1] & select.POLLIN:
            received += os.read(descriptor, 65536)
        if view and ready[0][1] & select.POLLOUT:
            view = view[os.write(descriptor, view[:65536]) :]
    elapsed = perf_counter() - begun
    os.set_blocking(descriptor, True)
    assert received == data
    return {BOTH_WAYS: len(data) / elapsed / MIB}
