"""A clean virtual board (docs/virtual-board.md), for measurements inside it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .settings import Settings

if TYPE_CHECKING:
    from board.hand import Hand
    from board.virtual_board import VirtualBoard

ROOT = Path(__file__).parent.parent
PROGRAMS = "/opt/bench"
"""Where in the board all of this goes; tests/board puts our wheel into SITE."""
SITE = "/opt/myclerk"
PYTHON_PEERS = ("rgpio==0.2.2.0", "python-can-remote==0.3.0", "pyownet==0.10.0.post1")
"""Clients and servers in pure Python, from PyPI."""
LONGEST_RUN = 3600.0


def measured(
    module: str, settings: Settings, prepare: Callable[[VirtualBoard], object] | None = None
) -> dict[str, Any]:
    """What ``python3 -m MODULE`` printed on a clean board: ``series`` by placement and case, and ``missing``.

    ``prepare`` changes the board before. Where there is no QEMU the series are empty, and ``missing`` says what to
    install.
    """
    sys.path.insert(0, str(ROOT / "tests"))
    from board.image import missing as lacking
    from board.virtual_board import restored

    if packages := lacking():
        sentence = f"the virtual board needs: sudo apt install {' '.join(packages)}"
        return {"series": {placement.name: {} for placement in settings.placements}, "missing": [sentence]}
    board = restored()
    try:
        board.stop_agent()  # that one takes notes for the tests
        _bring(board.hand)
        if prepare is not None:
            prepare(board)
        words = ["--rounds", str(settings.rounds), "--cores", _cores(settings)]
        words += ["--quick"] if settings.quick else []
        path = {"PYTHONPATH": f"{SITE}:{PROGRAMS}"}
        command = ("python3", "-m", module, *words)
        found: dict[str, Any] = json.loads(
            board.hand.check(*command, cwd=PROGRAMS, env=path, timeout=LONGEST_RUN)
        )
        return found
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
