"""The machine: cores to run on, child processes on them, what /proc says of these."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Placement:
    """The core of the board's side (agent, peer, device) and that of the desktop's (this process)."""

    name: str
    board: int
    desktop: int


def placements(wanted: str) -> list[Placement]:
    """The placements for "two", "one" or "both"; on a machine with one core all of these are "one"."""
    cores = sorted(os.sched_getaffinity(0))
    two = Placement("two cores", cores[0], cores[-1])
    one = Placement("one core", cores[0], cores[0])
    if len(cores) == 1 or wanted == "one":
        return [one]
    return [two] if wanted == "two" else [two, one]


@contextmanager
def desktop_core(core: int) -> Iterator[None]:
    """Keep this process on one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def child(
    command: Sequence[str],
    core: int,
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A child process that stays on ``core``, terminated whatever happens.

    Its standard output is a pipe, or with ``log`` goes there together with its errors.
    """
    output = None if log is None else log.open("ab")
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE if output is None else output,
        stderr=None if output is None else output,
        text=True,
        env=environment,
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),
    )
    if output is not None:
        output.close()
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def announced(module: str, core: int) -> Iterator[tuple[int, str]]:
    """``python -m MODULE`` as a child on ``core``: its process ID and the line with which it begins."""
    with child([sys.executable, "-m", module], core) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{module} did not start")
        yield process.pid, line


def resident_mib(pid: int) -> float:
    """Resident set of a process in MiB (VmRSS of proc_pid_status(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have used, in seconds.

    From /proc/PID/task/*/schedstat (nanoseconds); utime + stime of /proc/PID/stat (clock ticks) where the
    kernel keeps none.
    """
    try:
        tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
