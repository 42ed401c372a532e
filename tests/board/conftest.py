"""Fixtures of the virtual board (docs/virtual-board.md)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tracing import Trace

from . import image
from .hand import Hand
from .virtual_board import VirtualBoard, prepare, restored

BoardFactory = Callable[..., VirtualBoard]
BACKEND = "virtual board"

_current: list[VirtualBoard] = []
"""The board of the module that runs, for its trace."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make what the boards start from before the first test's time runs, with progress shown."""
    needed = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    wanted = needed & {"board", "board_factory", "systemd_board", "packaged", "packaged_board"}
    if not wanted or session.testsfailed or session.config.option.collectonly or image.missing():
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        prepare(
            session.config.getoption("--board-arch"),
            systemd="systemd_board" in wanted,
            packaged=bool(wanted & {"packaged", "packaged_board"}),
        )


@pytest.fixture(scope="session")
def board_possible() -> None:
    """Skip, loudly, where there is no QEMU; .ci/run makes that a failure."""
    if lacking := image.missing():
        pytest.skip(f"the virtual board needs: sudo apt install {' '.join(lacking)}")


@pytest.fixture(scope="module")
def board_factory(board_possible: None, pytestconfig: pytest.Config) -> Iterator[BoardFactory]:
    """Start clean boards; keyword arguments as of :func:`board.virtual_board.restored`."""
    with ExitStack() as stack:

        def start(**options: object) -> VirtualBoard:
            options.setdefault("arch", pytestconfig.getoption("--board-arch"))
            board = restored(**options)  # type: ignore[arg-type]
            stack.callback(board.close)
            return board

        yield start


@pytest.fixture(scope="module")
def board(board_factory: BoardFactory, trace: Trace) -> Iterator[VirtualBoard]:
    """A clean virtual board with our agent running and paired, for the tests of one module."""
    board = board_factory()
    _current.append(board)
    yield board
    _current.remove(board)


@pytest.fixture(scope="module")
def hand(board: VirtualBoard) -> Hand:
    """The bench hand of ``board``."""
    return board.hand


@pytest.fixture
def systemd_board(board_factory: BoardFactory) -> Iterator[VirtualBoard]:
    """A clean board run by systemd, with nothing of ours installed."""
    board = board_factory(flavour="systemd", state="systemd")
    yield board
    board.close()


@pytest.fixture(scope="module")
def packaged(board_factory: BoardFactory) -> VirtualBoard:
    """As ``packaged_board``, one for the tests of a module."""
    return board_factory(flavour="systemd", state="packaged")


@pytest.fixture
def packaged_board(board_factory: BoardFactory) -> Iterator[VirtualBoard]:
    """A clean board run by systemd, with our Debian packages installed and a client paired."""
    board = board_factory(flavour="systemd", state="packaged")
    yield board
    board.close()


@pytest.fixture
def ethernet() -> Iterator[Path]:
    """A segment that boards started with ``link=ethernet`` share: 10.0.3.1 and 10.0.3.2."""
    directory = tempfile.mkdtemp(prefix="ethernet-")
    yield Path(directory) / "segment"
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def possible_here(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> None:
    """Skip what the kernel of another processor has no module for."""
    marker = request.node.get_closest_marker("amd64_only")
    if marker and pytestconfig.getoption("--board-arch") != "amd64":
        pytest.skip(f"Debian's kernel for this processor has no {marker.args[0]}")


@pytest.fixture(autouse=True)
def traced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Judge what the board's agent took and gave in each test."""
    yield
    if "board" not in request.fixturenames or not _current or not _current[-1].machine.running:
        return
    trace: Trace = request.getfixturevalue("trace")
    marker = request.node.get_closest_marker("backend")
    trace.add(_current[-1].trace())
    trace.take(request.node.nodeid, marker.args[0] if marker else BACKEND)
