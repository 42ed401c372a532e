"""A dead SD card: a new board stands in for the old one by the word of its administrator."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import support
from myclerk_client import AgentNotTrusted, Board, Forbidden, KnownBoards, Unauthorized, pair
from myclerk_protocol import signatures


class Bench:
    """A board whose SD card can be changed; it keeps its address."""

    def __init__(self, directory: Path, tty: str) -> None:
        self.directory = directory
        settings = f'[drivers.serial]\nports = {{echo = "{tty}"}}\n'
        self.agent = support.AgentProcess(directory, settings)
        self.agent.start()

    def new_card(self, name: str = "state") -> None:
        """Start with an empty state directory."""
        self.stop()
        shutil.move(self.agent.state, self.directory / f"old {name}")
        self.agent.start()

    def stop(self) -> None:
        if self.agent.process is not None:
            self.agent.stop()

    def restart(self) -> None:
        self.stop()
        self.agent.start()

    def export(self, name: str = "bench.escrow") -> tuple[Path, str]:
        """The file and its recovery code."""
        path = self.directory / name
        made = json.loads(self.agent.command("keys", "export", str(path), "--json"))
        return path, made["code"]

    def run(self, *words: str, code: str = "") -> subprocess.CompletedProcess[str]:
        """``myclerk-agent WORDS``, the recovery code on its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "myclerk_agent.cli", "--config", str(self.agent.config), *words],
            input=code + "\n",
            capture_output=True,
            text=True,
            timeout=60,
        )

    def take_over(self, path: Path, code: str, *options: str) -> str:
        """Import an export; what was printed."""
        result = self.run("keys", "import", str(path), *options, code=code)
        assert result.returncode == 0, result.stderr
        self.restart()
        return result.stdout


@pytest.fixture
def bench(tmp_path: Path, echo_device: support.EchoDevice) -> Iterator[Bench]:
    bench = Bench(tmp_path, echo_device.path)
    yield bench
    bench.stop()


def paired(bench: Bench, name: str, *options: str) -> KnownBoards:
    boards = KnownBoards(bench.directory / name)
    asyncio.run(pair(bench.agent.link("--name", name, *options), name="bench", boards=boards))
    return boards


def echo(boards: KnownBoards) -> None:
    """Use the board as a paired desktop does."""

    async def story() -> None:
        async with await Board.connect("bench", boards=boards) as board:
            async with await board.serial.open("echo", exclusive=False) as port:
                await port.write(b"still here")
                assert await port.read_exactly(10, timeout=5) == b"still here"

    asyncio.run(story())


def request(boards: KnownBoards, operation: str) -> dict[str, Any]:
    async def story() -> dict[str, Any]:
        async with await Board.connect("bench", boards=boards) as board:
            return await board.request(operation)

    return asyncio.run(story())


def test_every_desktop_goes_on_with_the_new_board(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    ann, bob = paired(bench, "Ann", "--administrator"), paired(bench, "Bob")
    before = ann.find("bench")
    path, code = bench.export()
    bench.new_card()
    for boards in (ann, bob):
        with pytest.raises(AgentNotTrusted, match="no administrator's word"):
            asyncio.run(Board.connect("bench", boards=boards))
    assert "devices taken over: 2" in bench.take_over(path, code)
    echo(ann)
    echo(bob)
    after = ann.find("bench")
    assert after.fingerprint != before.fingerprint
    assert after.administrators[0] == before.administrators[0]
    assert bool(after.pq_public) == bool(before.pq_public) == signatures.available()
    assert "stands in for it by the word of its administrator" in caplog.text
    assert request(ann, "CLIENT_LIST")["clients"]
    with pytest.raises(Forbidden):
        request(bob, "CLIENT_LIST")


def test_the_old_card_is_out_once_a_desktop_knows_the_new_one(bench: Bench) -> None:
    ann = paired(bench, "Ann")
    path, code = bench.export()
    bench.new_card()
    bench.take_over(path, code)
    echo(ann)
    bench.stop()
    shutil.rmtree(bench.agent.state)
    shutil.move(bench.directory / "old state", bench.agent.state)
    bench.agent.start()
    with pytest.raises(AgentNotTrusted):
        asyncio.run(Board.connect("bench", boards=ann))


def test_who_was_revoked_stays_revoked(bench: Bench) -> None:
    ann, thief = paired(bench, "Ann"), paired(bench, "thief")
    bench.agent.command("devices", "--revoke", "thief")
    path, code = bench.export()
    bench.new_card()
    bench.take_over(path, code)
    echo(ann)
    with pytest.raises(Unauthorized, match="revoked"):
        asyncio.run(Board.connect("bench", boards=thief))


def test_with_the_key_alone_a_desktop_is_known_but_may_nothing(bench: Bench) -> None:
    ann = paired(bench, "Ann")
    path, code = bench.export()
    bench.new_card()
    bench.take_over(path, code, "--key-only")

    async def story() -> None:
        async with await Board.connect("bench", boards=ann) as board:
            assert await board.ping() > 0
            with pytest.raises(Forbidden):
                await board.devices()

    asyncio.run(story())
    (device,) = json.loads(bench.agent.command("devices", "--json"))
    assert (device["access"], device["administrator"]) == ("none", False)


def test_a_second_replacement_in_a_row(bench: Bench) -> None:
    """The desktop that was away when the first one happened finds the second."""
    ann = paired(bench, "Ann")
    path, code = bench.export("first.escrow")
    bench.new_card("one")
    bench.take_over(path, code)
    path, code = bench.export("second.escrow")
    bench.new_card("two")
    bench.take_over(path, code)
    echo(ann)


def test_another_administrator_recovers_it_with_a_key_of_theirs(bench: Bench) -> None:
    """The lab's key was made known to the board; the board's own export is lost."""
    lab = bench.directory / "lab"
    lab.mkdir()
    own = [sys.executable, "-m", "myclerk_agent.cli", "--state", str(lab / "state")]
    export = subprocess.run(
        [*own, "keys", "export", str(lab / "key"), "--json"], capture_output=True, text=True, check=True
    )
    bench.agent.command("administrators", "trust", "the lab", str(lab / "key"))
    bench.restart()
    ann = paired(bench, "Ann")
    assert len(ann.find("bench").administrators) == 2
    bench.new_card()
    code = json.loads(export.stdout)["code"]
    fingerprint = ann.find("bench").fingerprint
    bench.take_over(lab / "key", code, "--key-only", "--replaces", fingerprint)

    async def story() -> None:
        await (await Board.connect("bench", boards=ann)).close()

    with pytest.raises(
        Unauthorized, match="not enrolled"
    ):  # trusted, but the lab's catalog does not know Ann
        asyncio.run(story())
    assert ann.find("bench").fingerprint != fingerprint


def test_an_administrator_who_is_distrusted_vouches_no_more(bench: Bench) -> None:
    lab = bench.directory / "lab"
    lab.mkdir()
    own = [sys.executable, "-m", "myclerk_agent.cli", "--state", str(lab / "state")]
    export = subprocess.run(
        [*own, "keys", "export", str(lab / "key"), "--json"], capture_output=True, text=True, check=True
    )
    bench.agent.command("administrators", "trust", "the lab", str(lab / "key"))
    bench.restart()
    ann = paired(bench, "Ann")
    further = json.loads(bench.agent.command("administrators", "--json"))["further-keys"]
    bench.agent.command("administrators", "distrust", further[0]["fingerprint"])
    bench.restart()
    echo(ann)  # the desktop learns it at its next connection
    fingerprint = ann.find("bench").fingerprint
    bench.new_card()
    code = json.loads(export.stdout)["code"]
    bench.take_over(lab / "key", code, "--key-only", "--replaces", fingerprint)
    with pytest.raises(AgentNotTrusted, match="no administrator that is known"):
        asyncio.run(Board.connect("bench", boards=ann))


def test_an_administrator_of_one_board_cannot_pass_it_off_as_another(bench: Bench) -> None:
    """The same administrator's key on two boards; only the one that it replaces is replaced."""
    ann = paired(bench, "Ann")
    path, code = bench.export()
    other = KnownBoards(bench.directory / "other")
    other.identity()
    pinned = ann.find("bench")
    other.add(replace(pinned, fingerprint="M" + "A" * 27))
    bench.new_card()
    bench.take_over(path, code)
    with pytest.raises(AgentNotTrusted, match="not in this board's place"):
        asyncio.run(Board.connect("bench", boards=other))


@pytest.mark.skipif(not signatures.available(), reason="needs ML-DSA-65")
def test_a_post_quantum_board_is_not_replaced_by_a_weaker_word(bench: Bench) -> None:
    """The administrator that the desktop knows has no ML-DSA-65 key, the board had one."""
    ann = paired(bench, "Ann")
    pinned = ann.find("bench")
    assert pinned.pq_public
    ann.update("bench", administrators=[[public, ""] for public, _ in pinned.administrators])
    path, code = bench.export()
    bench.new_card()
    bench.take_over(path, code)
    with pytest.raises(AgentNotTrusted, match="not with post-quantum keys"):
        asyncio.run(Board.connect("bench", boards=ann))


def test_the_code_and_the_file_are_both_needed(bench: Bench) -> None:
    path, code = bench.export()
    assert path.stat().st_mode & 0o777 == 0o600
    wrong = f"EAAA{code[4:]}"
    for words, given, reason in (
        ((str(path),), wrong, "does not open this file"),
        ((str(path),), "", "letters A-Z"),
        ((str(bench.agent.config),), code, "not JSON"),
    ):
        result = bench.run("keys", "import", *words, code=given)
        assert result.returncode == 1
        assert result.stderr.startswith("myclerk-agent: ")
        assert reason in result.stderr
    assert bench.run("keys", "export", str(path)).returncode == 1  # never overwritten


def test_a_board_with_devices_of_its_own_keeps_them(bench: Bench) -> None:
    path, code = bench.export()
    ann = paired(bench, "Ann")
    result = bench.run("keys", "import", str(path), code=code)
    assert (result.returncode, "--key-only" in result.stderr) == (1, True)
    echo(ann)
