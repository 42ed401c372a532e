"""``--simulate``: what is served, and how a wrong description is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import support
from myclerk_agent import simulation
from myclerk_agent.cli import main
from myclerk_agent.toml_source import ConfigError
from myclerk_client import Board, KnownBoards, pair
from tracing import Trace

pytestmark = [pytest.mark.agent_process, pytest.mark.backend("simulated board")]


@pytest.fixture
def boards(tmp_path: Path, trace: Trace) -> Iterator[KnownBoards]:
    """A user who has paired an agent that simulates two joined ports."""
    description = tmp_path / "board.toml"
    description.write_text('[serial.left]\njoined = "right"\n[serial.right]\njoined = "left"\n')
    with support.agent(tmp_path, options=("--simulate", str(description))) as agent:
        boards = KnownBoards(tmp_path / "home")
        asyncio.run(pair(agent.link(), name="bench", boards=boards))
        yield boards


def test_a_simulated_board_serves_what_the_file_describes_and_says_that_it_is_one(
    boards: KnownBoards,
) -> None:
    async def talk() -> None:
        async with await Board.connect(boards=boards) as board:
            devices = await board.devices()
            assert [(d["name"], d["simulated"]) for d in devices] == [
                ("serial:left", True),
                ("serial:right", True),
            ]
            async with await board.serial.open("left") as left, await board.serial.open("right") as right:
                await left.write(b"to the right")
                assert await right.read_exactly(12, timeout=10) == b"to the right"
            async with await board.serial.open("left") as again:  # a closed port can be opened once more
                await again.write(b"x")

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "describes no bus"),
        ("serial = 1\n", "1: `serial` must be a table"),
        ("[serial\n", "board.toml"),
    ],
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        simulation.load(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[serial]\n[serial.a]\ndevice = 'tape'\n", "board.toml:1: `serial.a.device` can only be"),
        ("\n[zigbee]\nx = 1\n", "board.toml:2: no driver `zigbee` can be used; there are: "),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(text)
    words = ["--state", str(tmp_path / "state"), "run", "--listen", "127.0.0.1:0", "--simulate", str(path)]
    result = CliRunner().invoke(main, [*words, "--unix-socket", str(tmp_path / "agent.sock")])
    assert result.exit_code == 1
    assert sentence in result.output
