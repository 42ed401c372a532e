"""What people use today instead: plain TCP, the same through ``ssh -L``, rgpiod, python-can-remote, owserver."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..board import free_port
from ..machine import Placement, announced, child

START_SECONDS = 60.0
RGPIOD_PORT = 8889
"""Its default; it takes none above 32,000. With `-l` it listens on ::1 alone."""

SSHD = "/usr/sbin/sshd"
PATH = f"{Path(__file__).parents[2]}/bin:/usr/local/bin:/usr/bin:/usr/sbin"
MISSING = {
    "rgpiod": "rgpiod is not installed on this machine (or `pip download rgpio` failed): its rows are missing. "
    "Debian 13 does not have it; build github.com/joan2937/lg, then `make install`.",
    "can_remote": "`pip download python-can-remote` failed: its rows are missing.",
    "owserver": "`pip download pyownet` failed: the rows of owserver are missing.",
}
"""What is said of a peer that does not take part."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A loopback port and the process that listens there."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Peers:
    """Where each of them is; None for one that is not there. Tunnels are ports.

    ``ssh`` is where sshd listens, and the process of its client.
    """

    echo: Listener
    msgpack_echo: Listener
    ssh: Listener
    ssh_echo: int
    rgpiod: Listener | None
    ssh_rgpiod: int | None
    can_remote: Listener | None
    owserver: Listener | None

    @property
    def missing(self) -> list[str]:
        """A sentence for each that is not there."""
        there = {"rgpiod": self.rgpiod, "can_remote": self.can_remote, "owserver": self.owserver}
        return [MISSING[name] for name, port in there.items() if port is None]


@contextmanager
def peers(directory: Path, placement: Placement, can_interface: str) -> Iterator[Peers]:
    """All that can be started, on the board's core; the desktop's end of the tunnel on the desktop's."""
    with ExitStack() as stack:
        echo = Listener(*_reversed(stack.enter_context(announced("bench.guest.echo", placement.board))))
        msgpack_echo = Listener(
            *_reversed(stack.enter_context(announced("bench.msgpack_echo", placement.board)))
        )
        rgpiod = stack.enter_context(_rgpiod(directory, placement.board))
        can_remote = stack.enter_context(_can_remote(directory, placement.board, can_interface))
        owserver = stack.enter_context(_owserver(directory, placement.board))
        targets = [echo.port, *([rgpiod.port] if rgpiod else [])]
        ssh, tunnels = stack.enter_context(tunnels_through_ssh(directory, placement, targets))
        ssh_rgpiod = tunnels[1] if rgpiod else None
        yield Peers(echo, msgpack_echo, ssh, tunnels[0], rgpiod, ssh_rgpiod, can_remote, owserver)


def _reversed(announcement: tuple[int, str]) -> tuple[int, int]:
    return int(announcement[1]), announcement[0]


@contextmanager
def _rgpiod(directory: Path, core: int) -> Iterator[Listener | None]:
    path = shutil.which("rgpiod", path=PATH)
    if path is None or find_spec("rgpio") is None:
        yield None
        return
    command = [path, "-p", str(port := RGPIOD_PORT), "-w", str(directory)]
    environment = {"LD_LIBRARY_PATH": str(Path(path).parent)}
    with child(command, core, log=directory / "rgpiod.log", environment=environment) as process:
        await_port(port, directory / "rgpiod.log")
        yield Listener(port, process.pid)


@contextmanager
def _can_remote(directory: Path, core: int, interface: str) -> Iterator[Listener | None]:
    if find_spec("can_remote") is None:
        yield None
        return
    words = ["-i", "socketcan", "-c", interface, "-H", "127.0.0.1", "-p", str(port := free_port())]
    command = ["python3", "-m", "can_remote", *words]
    with child(command, core, log=directory / "can_remote.log") as process:
        await_port(port, directory / "can_remote.log")
        yield Listener(port, process.pid)


@contextmanager
def _owserver(directory: Path, core: int) -> Iterator[Listener | None]:
    """It uses the same driver of the kernel as ours."""
    if find_spec("pyownet") is None:
        yield None
        return
    words = ["--w1", "--foreground", "--error_level=0", "-p", f"127.0.0.1:{(port := free_port())}"]
    with child(["owserver", *words], core, log=directory / "owserver.log") as process:
        await_port(port, directory / "owserver.log")
        yield Listener(port, process.pid)


@contextmanager
def tunnels_through_ssh(
    directory: Path, placement: Placement, targets: list[int]
) -> Iterator[tuple[Listener, list[int]]]:
    """OpenSSH with its defaults, a local forwarding for each target: the connection, and the tunnels' ports."""
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
        subprocess.run(command, check=True)
    (directory / "authorized_keys").write_bytes((directory / "user_key.pub").read_bytes())
    port, log = free_port(), directory / "sshd.log"
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": directory / "host_key",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "StrictModes": "no",
        "PidFile": "none",
        "UsePAM": "no",
    }
    config = directory / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    user = getpass.getuser()
    if user == "root":
        Path("/run/sshd").mkdir(exist_ok=True)
    tunnels = [free_port() for _ in targets]
    forwardings = [
        f"-L127.0.0.1:{here}:127.0.0.1:{there}" for here, there in zip(tunnels, targets, strict=True)
    ]
    known = ["-oStrictHostKeyChecking=no", f"-oUserKnownHostsFile={directory}/known_hosts"]
    identity = ["-i", str(directory / "user_key"), "-p", str(port), f"{user}@127.0.0.1"]
    with child([SSHD, "-D", "-e", "-f", str(config)], placement.board, log=log):
        await_port(port, log)
        client_log = directory / "ssh.log"
        command = ["ssh", "-N", *known, *forwardings, *identity]
        with child(command, placement.desktop, log=client_log) as client:
            for tunnel in tunnels:
                await_port(tunnel, client_log)
            yield Listener(port, client.pid), tunnels


def await_port(port: int, log: Path) -> None:
    """Until somebody listens there. Raises RuntimeError with what ``log`` says."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), START_SECONDS).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing listens on port {port}:\n{log.read_text()}") from None
            time.sleep(0.05)
