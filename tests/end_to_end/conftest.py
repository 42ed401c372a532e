"""Fixtures of the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import OwnAgent, Run

import support


@pytest.fixture
def run(paired_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `myclerk WORDS` as the paired user; returns code, output and error text."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(*words: str, input: bytes = b"", home: Path = paired_home) -> tuple[int, bytes, str]:
        ended = support.run_cli(home, *words, input=input)
        return ended.returncode, ended.stdout, ended.stderr.decode()

    return run


@pytest.fixture
def own_agent(tmp_path: Path) -> Iterator[OwnAgent]:
    """An agent that a test may stop, its echo device, and the home of a user who has paired it."""
    device = support.EchoDevice()
    (tmp_path / "agent").mkdir()
    settings = f'[drivers.serial]\nports = {{echo = "{device.path}"}}\n'
    agent = support.AgentProcess(tmp_path / "agent", settings)
    agent.config.write_text(agent.config.read_text().replace("[server]", "[server]\nlinger = 2"))
    agent.start()
    assert support.run_cli(tmp_path, "pair", agent.link(), "--name", "bench").returncode == 0
    yield agent, device, tmp_path
    if agent.process is not None:
        agent.stop()
    device.close()
