"""The subject: ``myclerk-agent run`` in a process of its own, as users run it, and its paired client."""

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
from myclerk_client.calls import Operations

from . import driver
from .machine import child

START_SECONDS = 120.0
NAME = "bench"
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
def running_agent(
    directory: Path, core: int, settings: str = "", security: str = ""
) -> Iterator[RunningAgent]:
    """An agent on ``core`` that keeps everything in ``directory``.

    ``security`` goes into that section of its settings; ``settings`` are further sections.
    """
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
    here = Path(__file__).parent.parent
    path = [str(directory / "site"), str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    with child([*AGENT, "--config", str(config), "run"], core, log=log, environment=environment) as process:
        deadline = time.monotonic() + START_SECONDS
        while not unix_socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the agent did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield RunningAgent(process.pid, config, environment)


async def paired(agent: RunningAgent, directory: Path) -> KnownBoards:
    """A client, its keys in ``directory`` (new ones if there are none), that has paired ``agent``."""
    boards = KnownBoards(directory)
    await pair(agent.invitation(), name=NAME, boards=boards)
    return boards


@asynccontextmanager
async def connected(boards: KnownBoards, operations: Operations | None = None) -> AsyncIterator[Board]:
    """A connection to the agent that was paired, with ``operations`` beyond those of the protocol."""
    async with await Board.connect(NAME, boards=boards) as board:
        if operations is not None:
            board.link.operations = operations
        yield board


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
