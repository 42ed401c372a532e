"""Real ends for tests: an agent in a process of its own, a tty with an echo device behind it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

RECORDER = str(Path(__file__).with_name("recording_agent.py"))


class EchoDevice:
    """A pty whose far end sends back whatever it receives. ``path`` is the tty that a driver opens."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)  # or the tty would never see its last close
        self._wake_read, self._wake_write = os.pipe()
        self._closed = False
        self._thread = threading.Thread(target=self._echo, daemon=True)
        self._thread.start()

    def _echo(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            try:
                data = os.read(self._master, 65536)
                while data:
                    data = data[os.write(self._master, data) :]
            except OSError:  # nobody has the tty open
                time.sleep(0.02)

    def close(self) -> None:
        """Hang up: what has the tty open gets EIO, then end of file."""
        if not self._closed:
            self._closed = True
            os.write(self._wake_write, b"x")
            self._thread.join(5)
            for fd in (self._master, self._wake_read, self._wake_write):
                os.close(fd)


class AgentProcess:
    """``myclerk-agent run`` as a process, listening on loopback."""

    trace: ClassVar[Path] = Path(os.devnull)
    """Where recorded agents note what they take and give; set once for the test run."""

    def __init__(
        self,
        directory: Path,
        settings: str = "",
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.options = options
        self.environment = dict(environment or {})
        self.state = directory / "state"
        self.config = directory / "agent.toml"
        self.unix_socket = directory / "agent.sock"
        self.log = directory / "agent.log"
        self.address = ("127.0.0.1", free_port())
        self.config.write_text(
            f"""\
[server]
listen = ["127.0.0.1:{self.address[1]}"]
unix-socket = "{self.unix_socket}"
handshakes-per-second = 1000
connections-per-address = 64
[state]
directory = "{self.state}"
[log]
format = "human"
{settings}"""
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 30.0) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, RECORDER, "--config", str(self.config), "run", *self.options],
                stdout=log,
                stderr=log,
                env={**os.environ, "MYCLERK_TRACE": str(self.trace), **self.environment},
            )
        deadline = time.monotonic() + timeout
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the agent did not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def _listens(self) -> bool:
        """The socket is there some moments before that."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.unix_socket))
            except OSError:
                return False
            return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(number)
        return process.wait(30)

    def command(self, *words: str) -> str:
        """Run ``myclerk-agent WORDS`` beside it; what it printed."""
        result = subprocess.run(
            [sys.executable, "-m", "myclerk_agent.cli", "--config", str(self.config), *words],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def link(self, *options: str) -> str:
        """A fresh invitation link."""
        printed = json.loads(self.command("invite", "--json", "--host", "127.0.0.1", *options))
        return str(printed["link"])


@contextmanager
def agent(
    directory: Path,
    settings: str = "",
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[AgentProcess]:
    """A running agent (``myclerk-agent run OPTIONS``), stopped whatever happens."""
    process = AgentProcess(directory, settings, environment, options)
    process.start()
    try:
        yield process
    finally:
        if process.process is not None:
            process.stop()


def run_cli(home: Path, *words: str, input: bytes | None = None, timeout: float = 60) -> Any:
    """Run ``myclerk WORDS`` as the user whose configuration is in ``home``."""
    return subprocess.run(
        [sys.executable, "-m", "myclerk_client.cli", *words],
        env=environment(home),
        input=input,
        capture_output=True,
        timeout=timeout,
    )


def environment(home: Path) -> Mapping[str, str]:
    """The environment of a user whose configuration is in ``home``."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MYCLERK_")}
    return {**clean, "XDG_CONFIG_HOME": str(home)}


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
