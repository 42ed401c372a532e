"""Buses: GPIO, I2C, SPI and CAN on the virtual board, beside the libraries by themselves and other programs.

Everything is measured inside the board, over its loopback interface, by :mod:`bench.guest`.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .guest.can import CAN_REMOTE
from .guest.contest import ON_BOARD, SUBJECT
from .guest.edges import DELIVERED
from .guest.quick import (
    ECHO,
    IN_FLIGHT,
    MSGPACK_ECHO,
    RGPIOD,
    SSH_ECHO,
    SSH_RGPIOD,
    in_batches,
    in_flight,
)
from .guest.wire import BYTES
from .measure import MEDIAN, PER_SECOND, Series, ratio
from .report import Section
from .settings import Settings

if TYPE_CHECKING:
    from board.hand import Hand

ROOT = Path(__file__).parent.parent
PROGRAMS = "/opt/bench"
"""Where in the board all of this goes; tests/board puts our wheel into SITE."""
SITE = "/opt/myclerk"
PYTHON_PEERS = ("rgpio==0.2.2.0", "python-can-remote==0.3.0")
"""Clients and servers in pure Python, from PyPI."""
LONGEST_RUN = 3600.0


def measure(settings: Settings) -> Section:
    """Every bus: rates, latencies, loss and bytes, and what they are beside the peers."""
    section = Section("buses")
    sys.path.insert(0, str(ROOT / "tests"))
    from board.image import missing as lacking

    if packages := lacking():
        section.missing.append(f"the virtual board needs: sudo apt install {' '.join(packages)}")
        for placement in settings.placements:
            _judge(section, placement.name, {})
        return section
    found = _measured_inside(settings)
    section.missing += found["missing"]
    for where, cases in found["series"].items():
        for case, series in cases.items():
            section.add(case, where, series)
            _compare(section, where, case, series)
        _judge(section, where, cases)
    return section


# -- inside the board --------------------------------------------------------------------------------------


def _measured_inside(settings: Settings) -> Any:
    """Start a clean board, bring everything in, let it measure; what :mod:`bench.guest` printed."""
    from board.virtual_board import restored

    board = restored()
    try:
        board.stop_agent()  # that one takes notes for the tests
        _bring(board.hand)
        words = ["--rounds", str(settings.rounds), "--cores", _cores(settings)]
        words += ["--quick"] if settings.quick else []
        path = {"PYTHONPATH": f"{SITE}:{PROGRAMS}"}
        command = ("python3", "-m", "bench.guest", *words)
        return json.loads(board.hand.check(*command, cwd=PROGRAMS, env=path, timeout=LONGEST_RUN))
    finally:
        board.close()


def _cores(settings: Settings) -> str:
    """The word for the placements; the board has two cores whatever this machine has."""
    apart = {placement.board != placement.desktop for placement in settings.placements}
    return "both" if len(apart) == 2 else "two" if apart == {True} else "one"


def _bring(hand: Hand) -> None:
    """Our measurements, and the peers that Debian does not have."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            files.write(path, path.relative_to(ROOT))
    hand.unpack(data=archive.getvalue(), directory=PROGRAMS)
    for wheel in _wheels():
        hand.unpack(data=wheel.read_bytes(), directory=PROGRAMS)
    for program in _rgpiod():
        hand.write_file(path=f"{PROGRAMS}/bin/{program.name}", data=program.read_bytes(), mode=0o755)


def _wheels() -> Iterable[Path]:
    """PYTHON_PEERS as wheels, downloaded once; without a network those that are there."""
    from board.image import cache_directory

    directory = cache_directory() / "peers"
    directory.mkdir(parents=True, exist_ok=True)
    for wanted in PYTHON_PEERS:
        pattern = f"{wanted.replace('-', '_').replace('==', '-')}-*.whl"
        if not list(directory.glob(pattern)):
            options = ["--no-deps", "--only-binary=:all:", "--retries=1", "--timeout=10"]
            command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(directory), wanted]
            subprocess.run(command, capture_output=True)
        yield from directory.glob(pattern)


def _rgpiod() -> Iterable[Path]:
    """rgpiod and its library, if it is installed here."""
    program = shutil.which("rgpiod")
    if program is None:
        return []
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [words[2] for line in linked.splitlines() if (words := line.split())[0] == "liblgpio.so.1"]
    return [Path(program), *map(Path, libraries)]


# -- what it means -----------------------------------------------------------------------------------------

SINGLE_PEERS = (ON_BOARD, RGPIOD, SSH_RGPIOD, ECHO, SSH_ECHO, MSGPACK_ECHO, CAN_REMOTE)
PLAINTEXT = (RGPIOD, ECHO, MSGPACK_ECHO)
"""Peers without encryption, one request at a time: more than that the clients of rgpiod and the like cannot do."""

SEVERAL = [*(in_flight(SUBJECT, number) for number in IN_FLIGHT), in_batches(SUBJECT)]
SETTING, EDGES = "GPIO set", "GPIO edges, 5,000/s"


def _pairs(series: Series) -> Iterable[tuple[str, str]]:
    """Which contestants are compared."""
    pairs = [(SUBJECT, peer) for peer in SINGLE_PEERS]
    pairs += [(several, peer) for several in SEVERAL for peer in (ON_BOARD, *PLAINTEXT)]
    pairs += [(in_flight(SUBJECT, number), in_flight(MSGPACK_ECHO, number)) for number in IN_FLIGHT]
    return [(of, to) for of, to in pairs if of in series and to in series]


def _compare(section: Section, placement: str, case: str, series: Series) -> None:
    measured = next(iter(series.values()))[0]
    kinds = (DELIVERED, MEDIAN) if DELIVERED in measured else (PER_SECOND, BYTES)
    for metric in (kind for kind in kinds if kind in measured):
        for of, to in _pairs(series):
            section.compare(case, placement, series, metric, of, to)


def _judge(section: Section, placement: str, cases: Mapping[str, Series]) -> None:
    """The targets; what could not be measured is said to be so."""
    setting = cases.get(SETTING, {})
    share = _least(setting, [SUBJECT], [SSH_ECHO])
    section.judge(f"{SETTING}: twice the rate of the {SSH_ECHO}", placement, share, lambda value: value >= 2)
    quick = {case: series for case, series in cases.items() if _is_quick(series)}
    for case, series in (quick or {SETTING: {}}).items():
        plain = RGPIOD if RGPIOD in series else ECHO
        if plain in series or not series:
            share = _least(series, [SUBJECT], [plain])
            promise = f"{case}: within 3 times of the {plain} (the rate at least a third)"
            section.judge(promise, placement, share, lambda value: value >= 1 / 3)
            share = _least(series, SEVERAL, PLAINTEXT)
            promise = f"{case}: pipelined and batched above every plaintext peer"
            section.judge(promise, placement, share, lambda value: value > 1)
    edges = cases.get(EDGES, {}).get(SUBJECT)
    worst = min(metrics[DELIVERED] for metrics in edges) if edges else None
    section.judge(f"{EDGES}: none lost (percent that arrive)", placement, worst, lambda value: value >= 100)


def _is_quick(series: Series) -> bool:
    """Whether this is a case of operations that were also batched, and their rates."""
    return in_batches(SUBJECT) in series and PER_SECOND in series[SUBJECT][0]


def _least(series: Series, of: Iterable[str], to: Iterable[str]) -> float | None:
    """The least of the ratios of rates, each the median of its rounds; None when there are none."""
    pairs = [(a, b) for a in of for b in to if a in series and b in series]
    return min((ratio(series, a, b, PER_SECOND).median for a, b in pairs), default=None)
