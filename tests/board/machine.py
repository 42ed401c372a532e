"""One QEMU process: started, saved to a file, restored from it, and gone whatever happens.

A machine's files (sockets, console, disk) are in a directory of its own. ``setpriv --pdeathsig`` has the kernel
kill QEMU when the test run dies; start machines from the main thread only, as it is the parent's thread that counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .image import Images

AGENT_PORT = 5657
MEMORY = "640M"
COMMAND_LINE = "quiet loglevel=4 mitigations=off panic=-1 random.trust_cpu=1 net.ifnames=0"
LONGEST_DIRECTORY = 88
"""Bytes; a Unix socket's path has at most 107, and its name must fit in, too."""


@dataclass(frozen=True)
class Architecture:
    """How QEMU is told to be this kind of machine."""

    emulator: str
    machine: tuple[str, ...]
    console: str
    has_kvaser: bool = True
    has_vmgenid: bool = True


ARCHITECTURES = {
    "amd64": Architecture(
        "qemu-system-x86_64",
        ("-M", "q35", "-cpu", "max"),
        "console=ttyS0 nokaslr tsc=reliable",
    ),
    "arm64": Architecture(
        "qemu-system-aarch64",
        ("-M", "virt,gic-version=3", "-cpu", "max,pauth=off"),
        "console=ttyAMA0",
        has_vmgenid=False,
    ),
}


class MachineError(RuntimeError):
    """The machine did not do what it was told; the message ends with what its console said last."""


class Machine:
    """A virtual machine made of ``images`` and the ``guest`` image; ``flavour`` is "bare" or "systemd".

    ``disk`` is a disk image that the systemd flavour keeps its changes in; it is not written to, they go to a
    file of this machine. ``link`` is the path of a Unix socket: machines with the same one share an Ethernet
    segment, the first of them listens.
    """

    def __init__(
        self,
        images: Images,
        guest: Path,
        flavour: str = "bare",
        *,
        disk: Path | None = None,
        link: Path | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="board-"))
        if len(os.fsencode(self.directory)) > LONGEST_DIRECTORY:
            raise MachineError(f"{self.directory} is too long a path for Unix sockets; set TMPDIR")
        self.images = images
        self.guest = guest
        self.flavour = flavour
        self.architecture = ARCHITECTURES[images.arch]
        self.hand_socket = self.directory / "hand"
        self.serial_socket = self.directory / "serial1"
        self.shell_socket = self.directory / "shell"
        self.console = self.directory / "console.log"
        self._disk = self._copy_of(disk) if disk is not None else None
        self._link = link or self.directory / "segment"
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None

    @staticmethod
    def emulator(arch: str) -> str:
        """The QEMU program for "amd64" or "arm64"."""
        return ARCHITECTURES[arch].emulator

    @property
    def running(self) -> bool:
        """Whether QEMU is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """QEMU's process. Raises MachineError."""
        if self._process is None:
            raise MachineError("QEMU is not running")
        return self._process.pid

    def start(self, state: Path | None = None) -> None:
        """Boot, or go on from the saved ``state``. Raises MachineError.

        A boot is emulated by one thread: a kernel that patches its own code while QEMU runs its processors on
        several threads panics now and then.
        """
        for name in ("hand", "serial1", "shell", "qmp", "segment"):
            (self.directory / name).unlink(missing_ok=True)
        if state is None:
            emulation = ["-accel", "tcg,thread=single"]
        else:
            emulation = ["-accel", "tcg,thread=multi", "-incoming", f"exec:cat {state}"]
        log = (self.directory / "qemu.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._arguments(), *emulation],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._qmp = Qmp(self._connect(self.directory / "qmp"))
        except OSError:
            raise MachineError(f"QEMU did not start: {self.last_words()}") from None
        if state is not None:
            while self.qmp("query-status")["status"] == "inmigrate":
                time.sleep(0.01)
            self.qmp("cont")

    def save(self, state: Path) -> Path | None:
        """Stop for good and write memory and devices to ``state``; the disk's file if there is one."""
        self.qmp("stop")
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.qmp("migrate", uri=f"exec:cat > {state}")
        while (status := self.qmp("query-migrate").get("status")) not in ("completed", "failed"):
            time.sleep(0.02)
        if status == "failed":
            raise MachineError(f"saving to {state} failed: {self.last_words()}")
        self.kill()
        return self._disk

    def qmp(self, command: str, **arguments: Any) -> Any:
        """A command of the QEMU Machine Protocol; what it returns. Raises MachineError."""
        if self._qmp is None or not self.running:
            raise MachineError(f"QEMU is not running: {self.last_words()}")
        return self._qmp.command(command, arguments)

    def forward(self, port: int = AGENT_PORT) -> int:
        """Forward a loopback port of the host to ``port`` of the machine; the host's port."""
        monitor = "human-monitor-command"
        self.qmp(monitor, **{"command-line": f"hostfwd_add net0 tcp:127.0.0.1:0-:{port}"})
        for line in self.qmp(monitor, **{"command-line": "info usernet"}).splitlines():
            words = line.split()
            if words[:1] == ["TCP[HOST_FORWARD]"] and words[5] == str(port):
                return int(words[3])
        raise MachineError(f"QEMU forwards no port to {port}")

    def kill(self) -> None:
        """Cut the power: nothing is written any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._qmp is not None:
            self._qmp.close()
        self._process = self._qmp = None

    def close(self) -> None:
        """Kill it and delete its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _arguments(self) -> list[str]:
        unix = "server=on,wait=off"
        arguments = [
            self.architecture.emulator, "-nodefaults", "-no-user-config", *self.architecture.machine,
            "-smp", "2", "-m", MEMORY, "-display", "none", "-no-reboot",
            "-kernel", str(self.images.kernel), "-initrd", str(self.images.initrd),
            "-append", f"{self.architecture.console} {COMMAND_LINE} board.flavour={self.flavour}",
            "-qmp", f"unix:{self.directory}/qmp,{unix}",
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-chardev", f"socket,id=serial1,path={self.serial_socket},{unix}",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=hand,path={self.hand_socket},{unix}",
            "-device", "virtserialport,chardev=hand,name=hand",
            "-chardev", f"socket,id=shell,path={self.shell_socket},{unix}",
            "-device", "virtconsole,chardev=shell",
            "-device", "virtio-rng-pci",
            "-netdev", "user,id=net0,restrict=on,ipv6=off",
            "-device", "virtio-net-pci,id=eth0,netdev=net0,mac=52:54:00:00:00:01",
            "-device", "qemu-xhci,id=xhci,p2=8,p3=4",
        ]  # fmt: skip
        if self.images.arch == "amd64":
            arguments += ["-serial", "chardev:serial1"]
        if self.architecture.has_kvaser:
            arguments += ["-object", "can-bus,id=canbus0"]
            for _ in range(2):
                arguments += ["-device", "kvaser_pci,canbus=canbus0"]
        if self.architecture.has_vmgenid:  # tells the restored kernel to draw fresh random numbers
            arguments += ["-device", f"vmgenid,guid={uuid.uuid4()}"]
        drives = {"root": self.images.root, "modules": self.images.modules, "guest": self.guest}
        for name, path in drives.items():
            arguments += _drive(name, path, "format=raw,readonly=on")
        if self._disk is not None:
            arguments += _drive("disk", self._disk, "format=qcow2")
        return arguments + self._segment()

    def _segment(self) -> list[str]:
        """eth1: the wire between two machines, without carrier while nobody is at its other end."""
        end = "off" if self._link.exists() else "on"
        return [
            "-netdev", f"stream,id=net1,server={end},addr.type=unix,addr.path={self._link}",
            "-device", "virtio-net-pci,id=eth1,netdev=net1",
        ]  # fmt: skip

    def _copy_of(self, disk: Path) -> Path:
        path = self.directory / "disk.qcow2"
        form = "qcow2" if disk.suffix == ".qcow2" else "raw"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(disk), str(path)], check=True
        )
        return path

    def _connect(self, path: Path) -> socket.socket:
        """QEMU's end of a socket, as soon as it is there."""
        deadline = time.monotonic() + 20
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except OSError:
                connection.close()
                if not self.running or time.monotonic() > deadline:
                    raise MachineError(f"QEMU did not start: {self.last_words()}") from None
                time.sleep(0.01)

    def connect_hand(self) -> socket.socket:
        """The control channel, QEMU's end."""
        return self._connect(self.hand_socket)

    def last_words(self) -> str:
        """The end of what QEMU and the console said."""
        said = ""
        for path in (self.directory / "qemu.log", self.console):
            with contextlib.suppress(OSError):
                said += path.read_text(errors="replace")[-2000:]
        return said


class Qmp:
    """The QEMU Machine Protocol on a socket; events are passed over."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rw")
        self._file.readline()  # the greeting
        self.command("qmp_capabilities", {})

    def command(self, command: str, arguments: dict[str, Any]) -> Any:
        """Execute ``command``; what it returns. Raises MachineError."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._file.flush()
        for line in self._file:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")
        raise MachineError(f"{command}: QEMU ended")

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):  # it may hold a command that QEMU no longer takes
            self._file.close()
        self._connection.close()


def _drive(name: str, path: Path, options: str) -> list[str]:
    return [
        "-drive", f"file={path},if=none,id={name},{options}",
        "-device", f"virtio-blk-pci,drive={name}",
    ]  # fmt: skip
