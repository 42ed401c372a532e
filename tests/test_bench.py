"""The measurements run and say what they promise to say; what they measure is no business of a test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from board import image

ROOT = Path(__file__).parent.parent
SPREAD = {"median", "low", "high", "rounds"}
SER2NET = shutil.which("ser2net", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
SSHD = shutil.which("/usr/sbin/sshd")
TUNNEL_PEERS = {"64-byte echo", *({"64-byte echo through ssh -L"} if SSHD else ())}
ECHO_PEER, TTY_PEERS = "msgpack echo", {"ser2net", "ser2net, chardelay: false"}


WITHOUT_SER2NET = (
    "-c",
    "from bench import ser2net; from bench.__main__ import main; ser2net.program = lambda: None; main()",
)


def measured(
    section: str, directory: Path, program: tuple[str, str] = ("-m", "bench"), timeout: float = 100
) -> tuple[dict[str, Any], str]:
    """The one section of ``python -m bench SECTION --quick`` from its JSON, and what was printed."""
    path = directory / "results.json"
    result = subprocess.run(
        [sys.executable, *program, section, "--quick", "--json", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(path.read_text())
    assert set(document) == {"machine", "quick", "sections"}
    assert document["quick"] is True
    assert document["machine"]["cores"] >= 1
    (only,) = document["sections"]
    assert set(only) == {"name", "rows", "ratios", "targets", "missing"}
    assert only["name"] == section
    return only, result.stdout


def check_numbers(section: dict[str, Any]) -> None:
    """Every number is a spread of positive values; every target has a verdict or none was possible."""
    spreads = [ratio["spread"] for ratio in section["ratios"]]
    for row in section["rows"]:
        assert set(row) == {"case", "placement", "contestant", "metrics"}
        assert row["metrics"]
        spreads += row["metrics"].values()
    for spread in spreads:
        assert set(spread) == SPREAD
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]
        assert spread["rounds"] == 1
    for target in section["targets"]:
        assert set(target) == {"promise", "placement", "value", "met"}
        assert (target["met"] is None) == (target["value"] is None)


def contestants(section: dict[str, Any], case: str) -> set[str]:
    return {row["contestant"] for row in section["rows"] if row["case"] == case}


def test_requests_stand_beside_a_plain_echo(tmp_path: Path) -> None:
    section, printed = measured("requests", tmp_path)
    check_numbers(section)
    for in_flight in (1, 16, 256):
        case = f"{in_flight} in flight"
        assert contestants(section, case) == {"myclerk", ECHO_PEER, *(TUNNEL_PEERS if in_flight == 1 else ())}
        for row in section["rows"]:
            if row["case"] == case and row["contestant"] not in TUNNEL_PEERS:
                assert {"per-second", "p50-us", "p90-us", "p99-us", "cpu-us"} <= set(row["metrics"])
        assert any(r["case"] == case and r["to"] == ECHO_PEER for r in section["ratios"])
    assert {"one sealed batch", "one after the other"} <= contestants(section, "64 operations")
    assert len(section["targets"]) == 5
    unknown = [target for target in section["targets"] if target["met"] is None]
    assert len(unknown) == len(section["missing"]) == (0 if SSHD else 1)
    assert f"msgpack echo = {section['ratios'][0]['spread']['median']:.3g}" in printed


@pytest.mark.skipif(SER2NET is None, reason="ser2net is not installed")
def test_serial_ports_stand_beside_ser2net(tmp_path: Path) -> None:
    section, _ = measured("serial", tmp_path)
    check_numbers(section)
    for case in ("8-byte echo", "1 MiB both ways"):
        assert contestants(section, case) == {"myclerk", "the pty alone", *TTY_PEERS}
    assert section["missing"] == []
    assert len(section["targets"]) == 2
    assert all(target["met"] is not None for target in section["targets"])


def test_without_ser2net_its_rows_are_missing_loudly(tmp_path: Path) -> None:
    section, printed = measured("serial", tmp_path, WITHOUT_SER2NET)
    check_numbers(section)
    assert contestants(section, "8-byte echo") == {"myclerk", "the pty alone"}
    assert "!!! MISSING" in printed
    assert "apt-get install ser2net" in printed
    assert [target["met"] for target in section["targets"]] == [None, None]


def test_handshakes_are_measured_without_and_with_a_network(tmp_path: Path) -> None:
    section, _ = measured("handshakes", tmp_path)
    check_numbers(section)
    kinds = {"Ed448 alone"} if section["missing"] else {"Ed448 alone", "Ed448 and ML-DSA-65"}
    assert contestants(section, "in one process") == contestants(section, "over TCP") == kinds
    for row in section["rows"]:
        assert {"agent-cpu-us", "agent-per-second", "both-per-second"} <= set(row["metrics"])
    assert len(section["targets"]) == 4 * len(kinds)


def test_memory_is_measured_before_and_with_sessions(tmp_path: Path) -> None:
    section, _ = measured("memory", tmp_path)
    check_numbers(section)
    assert [row["case"] for row in section["rows"]] == ["after the start", "2 idle sessions"]
    assert all(set(row["metrics"]) == {"resident-mib"} for row in section["rows"])
    assert len(section["targets"]) == 2


@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(image.missing()), reason="the virtual board needs packages that are not installed")
def test_buses_stand_beside_their_libraries_and_peers(tmp_path: Path) -> None:
    section, _ = measured("buses", tmp_path, timeout=560)
    check_numbers(section)
    for case in (
        "GPIO set",
        "GPIO get",
        "I2C byte, i2c-stub",
        "I2C byte, i2c-tiny-usb",
        "SPI 4 B",
        "SPI 4 KiB",
    ):
        assert {"on the board itself", "myclerk", "myclerk, batches of 64"} <= contestants(section, case)
    assert {ECHO_PEER, "64-byte echo", "64-byte echo through ssh -L"} <= contestants(section, "GPIO set")
    for case in ("CAN echo", "CAN client to bus", "CAN bus to client, 8,000/s", "GPIO edges, 5,000/s"):
        assert {"on the board itself", "myclerk"} <= contestants(section, case)
    peers = {"rgpiod", "python-can-remote"} & {row["contestant"] for row in section["rows"]}
    assert len(peers) + len(section["missing"]) == 2


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(bool(image.missing()), reason="the virtual board needs packages that are not installed")
def test_usb_stands_beside_the_kernels_own(tmp_path: Path) -> None:
    section, _ = measured("usb", tmp_path, timeout=860)
    check_numbers(section)
    near = {"on the board itself", "myclerk", "myclerk, no tricks", "usbip", "usbip through ssh -L"}
    disks = ("disk, 1 MiB blocks", "disk, 64 KiB blocks", "USB 3 disk, 1 MiB blocks")
    for case in (
        "control request",
        "64 bytes there and back",
        *(f"{d}, {w}" for d in disks for w in ("read", "written")),
    ):
        assert contestants(section, case) == near
        assert contestants(section, f"{case}, 5 ms each way") == {"myclerk", "myclerk, no tricks", "usbip"}


def test_an_unknown_kind_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench", "colours"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "colours" in result.stderr


@pytest.mark.parametrize("module", ["bench.msgpack_echo", "bench.pty_echo"])
def test_a_peer_says_where_it_is_and_ends_when_told(module: str) -> None:
    with subprocess.Popen([sys.executable, "-m", module], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip()
        finally:
            process.terminate()
        assert process.wait(30) != 0
