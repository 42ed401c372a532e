"""A laboratory: an agent that serves the example board, and devices of several people who have paired it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import support
from myclerk_client import Board, KnownBoards, pair

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "board.toml"


class Lab:
    """One agent, and :attr:`boards` of each person by name."""

    def __init__(self, agent: support.AgentProcess, directory: Path) -> None:
        self.agent = agent
        self.boards: dict[str, KnownBoards] = {}
        self._directory = directory

    def pair(self, name: str, *options: str) -> str:
        """Pair a device called ``name``; its fingerprint. ``options`` are those of `myclerk-agent invite`."""
        boards = self.boards[name] = KnownBoards(self._directory / name / "myclerk")
        asyncio.run(pair(self.agent.link("--name", name, *options), name="lab", boards=boards))
        return self.fingerprint(name)

    def fingerprint(self, name: str) -> str:
        """The fingerprint of a paired device."""
        found = json.loads(self.agent.command("devices", "--json"))
        return next(str(d["fingerprint"]) for d in found if d["description"] == name and not d["revoked"])

    async def connect(self, name: str) -> Board:
        """The board as that person has it; "root" is the administrator at the board itself."""
        if name == "root":
            return await Board.connect(f"unix:{self.agent.unix_socket}")
        return await Board.connect("lab", boards=self.boards[name], reconnect=5)

    def run(self, story: Callable[..., Awaitable[Any]], *names: str) -> Any:
        """Run ``story`` with the board as each of these people has it."""

        async def told() -> Any:
            boards: list[Board] = []
            try:
                for name in names:
                    boards.append(await self.connect(name))
                return await story(*boards)
            finally:
                for board in boards:
                    await board.close()

        return asyncio.run(told())

    def audit(self) -> list[dict[str, Any]]:
        """The audit log's records."""
        lines = (self.agent.state / "audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextmanager
def lab(directory: Path, settings: str = "", description: Path = EXAMPLE) -> Iterator[Lab]:
    """A laboratory, cleared away at the end."""
    (directory / "agent").mkdir()
    options = ("--simulate", str(description))
    with support.agent(directory / "agent", settings, options=options) as agent:
        yield Lab(agent, directory)
