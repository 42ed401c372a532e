"""``python3 -m bench.guest.usb``: a disk and a loopback device, attached by us and by the kernel's USB/IP.

The board is the desktop, too: agent and client, or usbipd and vhci_hcd, are both here, connected over its loopback
interface. Prints one JSON object, ``{series, missing}``, as :mod:`bench.guest` does.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter

from myclerk_client.usb.vhci import VirtualController

from ..board import paired, running_agent
from ..machine import Placement, child, desktop_core, placements
from ..measure import Metrics, Series, T, latencies, run
from ..settings import Settings
from .contest import ON_BOARD, SUBJECT
from .peers import await_port, tunnels_through_ssh
from .usbfs import BlockingDevice

USBIP, SSH_USBIP = "usbip", "usbip through ssh -L"
PLAIN = f"{SUBJECT}, no tricks"
DISK, LOOP, FAST_DISK = 0x0105, 0x0198, 0x0001
"""The products: Board's gadgets, and a disk of QEMU's."""
BIG, SMALL = "disk, 1 MiB blocks", "disk, 64 KiB blocks"
FAST = "USB 3 disk, 1 MiB blocks"
"""A block is one command there; of a USB 2 disk the kernel wants 120 KiB at a time."""
CONTROL, BULK = "control request", "64 bytes there and back"
READ, WRITE = "read", "written"
RATE, CPU = "mib-per-second", "cpu-ms-per-mib"
CPU_EACH = "cpu-us"
DELAY_MS = 5
NEAR, FAR = "", f", {DELAY_MS} ms each way"
USBIP_PORT = 3240
SECONDS = 60.0
MIB = 1 << 20
DISK_MIB, FAR_MIB = 16, 4
ROUND_TRIPS, FAR_ROUND_TRIPS = 400, 40

Attach = Callable[[str], AbstractContextManager[str]]
"""Attaches the device of that name ("1-1") to this machine; the name that it has then."""


def main() -> None:
    """Measure in every placement."""
    parser = argparse.ArgumentParser(prog="bench.guest.usb")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", choices=("two", "one", "both"), default="two")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    settings = Settings(placements(options.cores), options.rounds, options.quick)
    subprocess.run(["modprobe", "-a", "usbip-host", "vhci-hcd", "sch_netem"], check=True)
    series = {placement.name: _measured(settings, placement) for placement in settings.placements}
    print(json.dumps({"series": series, "missing": []}))


def _measured(settings: Settings, placement: Placement) -> Mapping[str, Series]:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        log = directory / "usbipd.log"
        stack.enter_context(child([_program("usbipd"), "-4"], placement.board, log=log))
        await_port(USBIP_PORT, log)
        _, (tunnel,) = stack.enter_context(tunnels_through_ssh(directory, placement, [USBIP_PORT]))
        agent = stack.enter_context(running_agent(directory, placement.board))
        run(paired(agent, directory / "myclerk"))
        stack.enter_context(desktop_core(placement.desktop))
        ours = partial(_ours, directory, placement.desktop)
        usbip: Attach = partial(_usbip, USBIP_PORT)
        near: dict[str, Attach] = {
            ON_BOARD: _not_at_all,
            SUBJECT: ours,
            PLAIN: partial(ours, "--trick", "off"),
            USBIP: usbip,
            SSH_USBIP: partial(_usbip, tunnel),
        }
        series = _in_turns(near, settings, NEAR)
        far = {name: near[name] for name in (SUBJECT, PLAIN, USBIP)}
        with _delayed():
            return {**series, **_in_turns(far, settings, FAR)}


def _in_turns(contestants: Mapping[str, Attach], settings: Settings, where: str) -> Mapping[str, Series]:
    """Every contestant attaches both devices in every round, each round beginning with another one."""
    series: dict[str, dict[str, list[Metrics]]] = {}
    names = list(contestants)
    for number in range(settings.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            for case, metrics in _slice(contestants[name], settings, is_far=where == FAR).items():
                series.setdefault(case + where, {}).setdefault(name, []).append(metrics)
            print(f"round {number + 1}{where}: {name}", file=sys.stderr, flush=True)
    return series


def _slice(attach: Attach, settings: Settings, *, is_far: bool) -> Mapping[str, Metrics]:
    mib = FAR_MIB if is_far else DISK_MIB
    count = settings.count(FAR_ROUND_TRIPS if is_far else ROUND_TRIPS)
    found = {}
    for product, cases in {DISK: {BIG: MIB, SMALL: 64 << 10}, FAST_DISK: {FAST: MIB}}.items():
        with attach(_place(product)) as local:
            disk = _disk(local)
            for case, block in cases.items():
                total = max(MIB, (mib if block == MIB else mib // 4) * MIB // (8 if settings.quick else 1))
                found[f"{case}, {READ}"] = _transferred(disk, block, total, os.preadv, os.O_RDONLY)
                found[f"{case}, {WRITE}"] = _transferred(disk, block, total, os.pwritev, os.O_WRONLY)
    with attach(_place(LOOP)) as local:
        with closing(BlockingDevice(DEVICES / local)) as device:
            found[CONTROL] = _repeated(device.status, count)
            found[BULK] = _repeated(device.there_and_back, count)
    return found


# -- the work ----------------------------------------------------------------------------------------------


def _transferred(
    disk: str, block: int, total: int, function: Callable[[int, list[mmap.mmap], int], int], flags: int
) -> Metrics:
    """``total`` bytes in blocks, past the page cache."""
    descriptor = os.open(disk, flags | os.O_DIRECT)
    try:
        with mmap.mmap(-1, block) as memory:
            busy, begun = _busy_seconds(), perf_counter()
            for offset in range(0, total, block):
                if function(descriptor, [memory], offset) != block:
                    raise RuntimeError(f"{disk} came short at {offset}")
            elapsed = perf_counter() - begun
            busy = _busy_seconds() - busy
    finally:
        os.close(descriptor)
    return {RATE: total / MIB / elapsed, CPU: max(busy, 1e-6) * 1e3 / (total / MIB)}


def _repeated(operation: Callable[[], object], count: int) -> Metrics:
    took = []
    busy, begun = _busy_seconds(), perf_counter()
    for _ in range(count):
        start = perf_counter()
        operation()
        took.append(perf_counter() - start)
    elapsed = perf_counter() - begun
    return {**latencies(took, elapsed), CPU_EACH: max(_busy_seconds() - busy, 1e-6) / count * 1e6}


def _busy_seconds() -> float:
    """CPU time that the whole machine has used: the kernel's USB/IP works in threads and interrupts of its own."""
    user, nice, system, _, _, *interrupts = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


# -- who attaches ------------------------------------------------------------------------------------------


@contextmanager
def _not_at_all(name: str) -> Iterator[str]:
    yield name


@contextmanager
def _ours(directory: Path, core: int, *words_and_name: str) -> Iterator[str]:
    """``myclerk usb attach``, as users run it."""
    *options, name = words_and_name
    log = directory / "attach.log"
    log.unlink(missing_ok=True)
    words = ["usb", "attach", name, "--json", *options]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(directory)}
    command = [sys.executable, "-m", "myclerk_client.cli", *words]
    with child(command, core, log=log, environment=environment) as process:
        yield _plugged(log, process)
        process.send_signal(signal.SIGINT)
        process.wait(SECONDS)


def _plugged(log: Path, process: subprocess.Popen[str]) -> str:
    """The name of what ``myclerk usb attach`` has attached, once it has."""

    def port() -> str:
        if process.poll() is not None:
            raise RuntimeError(f"myclerk usb attach ended: {log.read_text()}")
        lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
        return str(json.loads(lines[0])["port"]) if lines else ""

    return _local(int(_eventually(port)))


@contextmanager
def _usbip(tcp_port: int, name: str) -> Iterator[str]:
    usbip = [_program("usbip"), "--tcp-port", str(tcp_port)]
    _run(*usbip, "bind", "-b", name)
    try:
        before = _occupied()
        _run(*usbip, "attach", "-r", "127.0.0.1", "-b", name)
        (port,) = _eventually(lambda: _occupied() - before)
        try:
            yield _local(port)
        finally:
            _run(*usbip, "detach", "-p", str(port))
            _eventually(lambda: port not in _occupied())
    finally:
        _run(*usbip, "unbind", "-b", name)


@contextmanager
def _delayed() -> Iterator[None]:
    """Delay what goes over the loopback interface, each way."""
    _run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", f"{DELAY_MS}ms", "limit", "100000")
    try:
        yield
    finally:
        _run("tc", "qdisc", "del", "dev", "lo", "root")


# -- what the kernel says ----------------------------------------------------------------------------------

DEVICES = Path("/sys/bus/usb/devices")


def _place(product: int) -> str:
    """The name of the real device, once it is there."""

    def found() -> str | None:
        for path in DEVICES.glob("*/idProduct"):
            if int(path.read_text(), 16) == product and "vhci_hcd" not in str(path.resolve()):
                return path.parent.name
        return None

    return str(_eventually(found))


def _occupied() -> set[int]:
    return {port.number for port in VirtualController().ports() if not port.free}


def _local(port: int) -> str:
    """The name of what is in a port, once it is configured."""

    def name() -> str | None:
        local = next((p.local for p in VirtualController().ports() if p.number == port), None)
        return local if local and list(DEVICES.glob(f"{local}/{local}:*")) else None

    return str(_eventually(name))


def _disk(name: str) -> str:
    """The node of a disk that can be read."""

    def node() -> str | None:
        for path in (DEVICES / name).glob("*/host*/target*/*/block/sd*"):
            disk = f"/dev/{path.name}"
            with suppress(OSError):  # the kernel is not yet done with it
                os.close(os.open(disk, os.O_RDONLY))
                return disk if int((path / "size").read_text()) else None
        return None

    return str(_eventually(node))


def _eventually(function: Callable[[], T]) -> T:
    deadline = time.monotonic() + SECONDS
    while not (found := function()):
        if time.monotonic() > deadline:
            raise RuntimeError("the kernel did not do what it should")
        time.sleep(0.02)
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _program(name: str) -> str:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or name


if __name__ == "__main__":
    main()
