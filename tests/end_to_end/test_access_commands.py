"""`myclerk access`, `clients` and `devices --all`, and the guide's Python, against an agent that serves the example."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from lab import Lab, lab

from myclerk.blocking import Board
from myclerk_client.cli import main
from tracing import Trace

pytestmark = pytest.mark.backend("simulated board")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("commands")) as running:
        running.pair("boss", "--administrator")
        running.pair("Ann's laptop", "--access", "none")
        yield running


class People:
    """Run `myclerk` in this process as one of those who have paired the board."""

    def __init__(
        self, bench: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._bench, self._environment, self._capsys = bench, monkeypatch, capsys

    def __call__(self, who: str, *words: str, code: int = 0) -> str:
        """What `myclerk WORDS` of somebody printed: results, or why it ended with another ``code``."""
        home = self._bench.boards[who].directory.parent
        self._environment.setenv("XDG_CONFIG_HOME", str(home))
        self._environment.setenv("XDG_CACHE_HOME", str(home / "cache"))
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        printed, said = self._capsys.readouterr()
        assert ended.value.code == code, said
        return str(said if code else printed)

    def json(self, who: str, *words: str) -> Any:
        """What it printed as JSON."""
        return json.loads(self(who, *words, "--json"))


@pytest.fixture
def run(bench: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[People]:
    monkeypatch.delenv("MYCLERK_BOARD", raising=False)
    handlers, level = list(logging.root.handlers), logging.getLogger("myclerk").level
    yield People(bench, monkeypatch, capsys)
    logging.root.handlers[:] = handlers
    logging.getLogger("myclerk").setLevel(level)


def test_rules(bench: Lab, run: People) -> None:
    ann = bench.fingerprint("Ann's laptop")
    run("boss", "access", "grant", "Ann's laptop", "serial:*")
    run("boss", "access", "grant", ann[:8], "can:can0", "read")
    shown = run("boss", "access", "show", "Ann's laptop")
    assert [line.split() for line in shown.splitlines()[1:3]] == [
        ["Ann's", "laptop", "can:can0", "read"],
        ["Ann's", "laptop", "serial:*", "read-write"],
    ]
    assert run("Ann's laptop", "access", "show") == shown
    explained = run.json("Ann's laptop", "access", "explain", "can:can0")
    assert (explained["access"], explained["rule"]["pattern"]) == ("read", "can:can0")
    assert "can:can1: none; no rule matches" in run("boss", "access", "explain", "can:can1", ann)
    assert "not permitted" not in run("Ann's laptop", "access", "grant", ann, "*", code=5)
    assert "no client" in run("boss", "access", "grant", "nobody", "*", code=1)
    assert "its kind" in run("boss", "access", "grant", ann, "ttyUSB0", code=1)
    run("boss", "access", "revoke", ann, "can:can0")
    run("boss", "access", "revoke", ann, "serial:*")
    run("boss", "access", "revoke", ann, "serial:*", code=1)
    assert run.json("boss", "access", "show", ann)["rules"] == []


def test_groups_and_hubs(bench: Lab, run: People) -> None:
    ann = bench.fingerprint("Ann's laptop")
    run("boss", "access", "group", "@lab", "Ann's laptop")
    run("boss", "access", "grant", "@lab", "spi:*", "read")
    shown = run.json("Ann's laptop", "access", "show")
    assert shown["groups"] == [{"name": "@lab", "members": [ann]}]
    run("boss", "access", "group", "@lab")
    run("boss", "access", "hub", ann)
    entry = next(c for c in run.json("Ann's laptop", "clients", "list") if c["fingerprint"] == ann)
    assert (entry["hub"], entry["connected"], entry["access"]) == (True, True, "none")
    run("boss", "access", "hub", ann, "--off")
    run("Ann's laptop", "clients", "list", code=5)


def test_clients(bench: Lab, run: People) -> None:
    ann = bench.fingerprint("Ann's laptop")
    run("boss", "clients", "assign", ann, "serial:console")
    run("Ann's laptop", "clients", "heartbeat", "measuring")
    listed = run("boss", "clients", "list")
    assert "measuring" in listed
    assert "administrator" in listed
    shown = run.json("Ann's laptop", "clients", "show")
    assert [rule["pattern"] for rule in shown["rules"]] == ["serial:console"]
    assert [(s["own"], s["post-quantum"], s["holds"]) for s in shown["sessions"] if s["connected"]] == [
        (True, True, [])
    ]
    assert "(this one): connected" in run("Ann's laptop", "clients", "show")
    run("Ann's laptop", "clients", "show", "boss", code=5)
    run("boss", "clients", "unassign", ann, "serial:console")
    assert run.json("boss", "clients", "show", ann)["rules"] == []
    bench.pair("lost")
    run("boss", "clients", "revoke", "lost")
    run("lost", "devices", code=5)


def test_sharing(run: People) -> None:
    assert run("boss", "access", "share", "spi:0.1", "--no") == "spi:0.1 is not shared\n"
    listed = {d["name"]: d["shared"] for d in run.json("boss", "devices", "--all")}
    assert (listed["spi:0.1"], listed["spi:0.0"]) == (False, True)
    assert "not shared" in run("boss", "devices", "spi", "--all")
    run("Ann's laptop", "devices", "--all", code=5)
    assert "is not shared" in run("boss", "access", "show")
    assert run("boss", "access", "share", "spi:0.1") == "spi:0.1 is shared\n"
    assert run("boss", "access", "share", "spi:0.1", "--default") == "spi:0.1 is shared\n"
    assert "exceptions" in run.json("boss", "access", "show")
    assert run("boss", "devices", "--all", "--watch", code=2)


def test_without_await(bench: Lab) -> None:
    with Board.connect(f"unix:{bench.agent.unix_socket}") as board:
        ann = board.clients.find("Ann's laptop")
        board.access.set("@lab", {"can:*": "read-write", "serial:*": 1}, members=[ann])
        assert board.access.explain("can:can0", ann)["access"] == "read-write"
        board.clients.assign(ann, "i2c:1/0x48", "read-write")
        assert board.clients.info(ann)["groups"] == ["@lab"]
        assert board.clients.status(ann)["sessions"] == []
        assert board.clients.heartbeat("flashing") > 1_700_000_000
        assert board.access.share("spi:0.0", None) is True
        assert board.requests.list(pending=True) == []
        board.access.set(ann, {})
        board.access.set("@lab", {}, members=[])
