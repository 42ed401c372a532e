"""`myclerk` as a process that keeps running, the programs beside it, and a network that fails."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import support

MYCLERK = [sys.executable, "-m", "myclerk_client.cli"]
Run = Callable[..., tuple[int, bytes, str]]
"""Called with words: exit code, standard output, standard error."""
OwnAgent = tuple[support.AgentProcess, support.EchoDevice, Path]


class Program:
    """A `myclerk` that keeps running; ``terminal`` gives it one of its own instead of pipes."""

    def __init__(self, home: Path, *words: str, terminal: bool = False) -> None:
        self._seen = bytearray()
        self.terminal: int | None = None
        ends: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }
        if terminal:
            self.terminal, slave = pty.openpty()
            ends = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        self.process = subprocess.Popen(
            [*MYCLERK, *words], env=support.environment(home), start_new_session=True, **ends
        )
        if terminal:
            os.close(slave)

    @property
    def _output(self) -> int:
        if self.terminal is not None:
            return self.terminal
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def type(self, data: bytes) -> None:
        if self.terminal is not None:
            os.write(self.terminal, data)
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def expect(self, text: bytes, timeout: float = 20) -> bytes:
        """What came up to and with ``text``."""
        deadline = time.monotonic() + timeout
        while (at := self._seen.find(text)) < 0:
            ready, _, _ = select.select([self._output], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not come, but {bytes(self._seen)!r}"
            chunk = os.read(self._output, 65536)
            assert chunk, f"{text!r} did not come, but {bytes(self._seen)!r} and the end"
            self._seen += chunk
        found = bytes(self._seen[: at + len(text)])
        del self._seen[: at + len(text)]
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGTERM)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        if self.terminal is not None:
            os.close(self.terminal)


@contextmanager
def program(home: Path, *words: str, terminal: bool = False) -> Iterator[Program]:
    running = Program(home, *words, terminal=terminal)
    try:
        yield running
    finally:
        running.close()


def until_held(run: Callable[..., Any]) -> None:
    """Wait until somebody has the echo port open."""
    deadline = time.monotonic() + 20
    while not any(device.get("held-by") for device in json.loads(run("devices", "--json")[1])):
        assert time.monotonic() < deadline


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The pty, as a program opens it."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def exchange(fd: int, data: bytes, timeout: float = 20) -> bytes:
    """Write and read as many bytes back."""
    writer = threading.Thread(
        target=lambda: [os.write(fd, data[i : i + 4096]) for i in range(0, len(data), 4096)]
    )
    writer.start()
    received = b""
    deadline = time.monotonic() + timeout
    while len(received) < len(data):
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            break
        received += os.read(fd, 65536)
    writer.join(5)
    return received


def change(fd: int, index: int, on: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[index] |= on
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def set_rate(fd: int, code: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[4] = attributes[5] = code
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


class Forwarder:
    """A TCP port in front of the agent's, whose connections can be cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self.accepted += 1
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self._end(source, target)

    def cut(self) -> None:
        sockets, self._sockets = self._sockets, []
        self._end(*sockets)

    def _end(self, *sockets: socket.socket) -> None:
        for end in sockets:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
