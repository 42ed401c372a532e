"""The subject: ``myclerk-agent run`` as users run it, in a process of its own, and a client that paired it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from myclerk_client import Board, KnownBoards, pair
from myclerk_client.board import network_link
from myclerk_client.files import write_private
from myclerk_client.known import KnownBoard
from myclerk_client.link import Operations
from myclerk_protocol.mesh.profiles import Identity

from . import driver
from .machine import child

START_SECONDS = 30.0
AGENT = (sys.executable, "-m", "myclerk_agent.cli")


@dataclass(frozen=True, slots=True)
class RunningAgent:
    """An agent that listens on a loopback port. ``pid`` is its process."""

    pid: int
    config: Path
    environment: Mapping[str, str]

    def invitation(self) -> str:
        """A fresh link with which one device can pair."""
        words = ["--config", str(self.config), "invite", "--json", "--host", "127.0.0.1"]
        printed = subprocess.run(
            [*AGENT, *words], env=self.environment, capture_output=True, text=True, check=True
        ).stdout
        return str(json.loads(printed)["link"])


@contextmanager
def running_agent(directory: Path, core: int, settings: str = "", security: str = "") -> Iterator[RunningAgent]:
    """An agent with its state in ``directory``, on ``core``; ``settings`` is further TOML, ``security`` too."""
    driver.install(directory / "site")
    config, unix_socket, log = (directory / name for name in ("agent.toml", "agent.sock", "agent.log"))
    config.write_text(
        f"""\
[server]
listen = ["127.0.0.1:{free_port()}"]
unix-socket = "{unix_socket}"
handshakes-per-second = 65536
[state]
directory = "{directory / "state"}"
[log]
format = "human"
[security]
{security}
{settings}
"""
    )
    path = os.pathsep.join([str(directory / "site"), str(Path(__file__).parent.parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    with child([*AGENT, "--config", str(config), "run"], core, log=log, environment=environment) as process:
        deadline = time.monotonic() + START_SECONDS
        while not unix_socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the agent did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield RunningAgent(process.pid, config, environment)


async def paired(
    agent: RunningAgent, directory: Path, *, post_quantum: bool = True
) -> tuple[KnownBoard, KnownBoards]:
    """A new client device, its keys in ``directory``, that has paired ``agent``.

    Without ``post_quantum`` it has no ML-DSA-65 key.
    """
    boards = KnownBoards(directory)
    if not post_quantum:
        directory.mkdir(mode=0o700, parents=True)
        identity = Identity.create("device", "bench", os.urandom, time.time(), False)
        write_private(directory / "device.key", identity.to_bytes())
    return await pair(agent.invitation(), name="bench", boards=boards), boards


@asynccontextmanager
async def connected(
    known: KnownBoard, boards: KnownBoards, operations: Operations | None = None
) -> AsyncIterator[Board]:
    """A connection to a paired board, with ``operations`` beyond those of the protocol."""
    link = network_link(known, boards)
    if operations is not None:
        link.operations = operations
    await link.open()
    async with Board(link, known.name) as board:
        yield board


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
