"""Fixtures shared by all tests: a running agent with an echo tty, and users who have paired it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import support
from myclerk_client import KnownBoards, pair
from tracing import Trace

settings.register_profile("timeless", deadline=None)  # timing decides no test
settings.load_profile("timeless")

# a shell's background jobs ignore it, and so would what tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HOST_KERNEL = "kernel of the host (pty)"


EXCUSED = "libcrypto does no ML-KEM-768 here"
"""What may be skipped even where all checks must run: Debian 12 has no OpenSSL 3.5."""

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and EXCUSED not in report.longrepr[2]:
        _skipped.append(f"{report.nodeid}: {report.longrepr[2]}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With MYCLERK_REQUIRE_ALL_CHECKS set, as .ci/run does, a check that could not run is a failure."""
    if _skipped and os.environ.get("MYCLERK_REQUIRE_ALL_CHECKS"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped and os.environ.get("MYCLERK_REQUIRE_ALL_CHECKS"):
        terminalreporter.section("checks that could not run, and must")
        for line in _skipped:
            terminalreporter.write_line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--evidence", type=Path, help="write which test drove which operation, on what, to FILE")
    parser.addoption(
        "--board-arch", choices=("amd64", "arm64"), default="amd64", help="processor of the virtual board"
    )


@pytest.fixture(scope="session")
def trace(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Trace]:
    """What agents of this run take and give: every message is checked against the CDDL."""
    trace = Trace(tmp_path_factory.mktemp("trace"))
    support.AgentProcess.trace = trace.path
    yield trace
    evidence = pytestconfig.getoption("--evidence")
    if evidence is not None:
        trace.save(evidence)


@pytest.fixture(autouse=True)
def traced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Judge the messages of each test that drove an agent process."""
    if "end_to_end" not in request.path.parts and "agent_process" not in request.keywords:
        yield
        return
    trace: Trace = request.getfixturevalue("trace")
    yield
    marker = request.node.get_closest_marker("backend")
    trace.take(request.node.nodeid, marker.args[0] if marker else HOST_KERNEL)


@pytest.fixture(scope="module")
def echo_device() -> Iterator[support.EchoDevice]:
    """A tty with an echo behind it."""
    device = support.EchoDevice()
    yield device
    device.close()


@pytest.fixture(scope="module")
def running_agent(
    tmp_path_factory: pytest.TempPathFactory, echo_device: support.EchoDevice, trace: Trace
) -> Iterator[support.AgentProcess]:
    """An agent in a process of its own, which offers the echo tty as serial:echo."""
    settings = f'[drivers.serial]\nports = {{echo = "{echo_device.path}"}}\n'
    with support.agent(tmp_path_factory.mktemp("agent"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def paired_home(tmp_path_factory: pytest.TempPathFactory, running_agent: support.AgentProcess) -> Path:
    """An XDG_CONFIG_HOME whose user has paired that agent as "bench"."""
    home = tmp_path_factory.mktemp("home")
    boards = KnownBoards(home / "myclerk")
    asyncio.run(pair(running_agent.link("--administrator"), name="bench", boards=boards))
    return home


@pytest.fixture(scope="module")
def boards(paired_home: Path) -> KnownBoards:
    """The boards of that user."""
    return KnownBoards(paired_home / "myclerk")


@pytest.fixture
def echo_port(echo_device: support.EchoDevice) -> str:
    """The resource name of the echo tty at the agent."""
    return "serial:echo"
