"""A desktop inside a virtual board: our client there, paired with an agent, and the USB devices that it attaches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .hand import Hand, HandError
from .machine import AGENT_PORT
from .virtual_board import NAME, SITE, VirtualBoard

HOME = "/run/desktop"
STATUS = "/sys/devices/platform/vhci_hcd.0/status"
FREE = "004"
FIND = """
import sys, usb.core
def find():
    return usb.core.find(custom_match=lambda d: d.bus == int(sys.argv[1]) and d.idProduct == int(sys.argv[2], 16))
device = find()
"""
"""How programs on the desktop begin that take the bus and the product: pyusb's ``device``."""


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something that a kernel or another process does in its own time; what ``condition`` gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} did not become true within {seconds:g} s"
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Attached:
    """A device that is attached; ``process`` is the name of the process that does it, ``local`` its name there."""

    process: str
    port: int
    local: str


class Desktop:
    """`myclerk` on the machine of ``hand``, as root, with a home of its own."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.env = {
            "PYTHONPATH": SITE,
            "XDG_CONFIG_HOME": HOME,
            "XDG_CACHE_HOME": HOME,
            "XDG_STATE_HOME": HOME,
        }
        self._started = 0

    def pair(self, board: VirtualBoard, host: str = "127.0.0.1", port: int = AGENT_PORT) -> None:
        """Pair with the agent of ``board``, which is at that address for this machine."""
        invited = json.loads(
            board.agent_command("invite", "--json", "--administrator", "--host", "127.0.0.1")
        )
        link = str(invited["link"]).replace("127.0.0.1", f"{host}:{port}", 1)
        self.run("pair", link, "--name", NAME)

    def command(self, *words: str) -> list[str]:
        """The command line of `myclerk WORDS`."""
        return ["python3", "-m", "myclerk_client.cli", *words]

    def run(self, *words: str, timeout: float = 60) -> str:
        """Run `myclerk WORDS`; what it printed. Raises HandError when it fails."""
        return self.hand.check(*self.command(*words), env=self.env, timeout=timeout)

    def result(self, *words: str) -> Any:
        """What `myclerk WORDS --json` found."""
        return json.loads(self.run(*words, "--json"))

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """Start `myclerk WORDS`; the process's name."""
        self._started += 1
        name = f"desktop-{self._started}"
        self.hand.start(name=name, argv=self.command(*words), env={**self.env, **(env or {})})
        return name

    def said(self, process: str) -> str:
        """What a process has printed."""
        try:
            return bytes(self.hand.read_file(path=f"/run/board/{process}.log")).decode()
        except HandError:
            return ""

    def lines(self, process: str, key: str) -> list[dict[str, Any]]:
        """The lines of JSON with ``key`` that a process has printed; fails if it has ended without one."""
        parsed = [json.loads(line) for line in self.said(process).splitlines() if line.startswith("{")]
        found = [line for line in parsed if key in line]
        if not found:
            ended = self.hand.status(name=process)
            assert ended is None, f"ended with {ended}: {self.said(process)}"
        return found

    @contextmanager
    def attached(self, device: str, *options: str) -> Iterator[Attached]:
        """`myclerk usb attach`, until Ctrl-C at the end, if it has not ended before."""
        process = self.start("usb", "attach", device, "--json", *options)
        try:
            result = eventually(lambda: self.lines(process, "port"))[0]
            yield Attached(process, result["port"], self.local(result["port"]))
        finally:
            if self.hand.status(name=process) is None:
                self.hand.stop(name=process, signal=2, timeout=30)

    def local(self, port: int) -> str:
        """The kernel's name of what is in a port, when its configuration is chosen."""
        eventually(lambda: self.status(port)[6] != "0-0")
        name = self.status(port)[6]
        self.hand.wait_for(glob=f"/sys/bus/usb/devices/{name}/{name}:*", timeout=60)
        return name

    def status(self, port: int) -> list[str]:
        """The kernel's words about a port."""
        lines = bytes(self.hand.read_file(path=STATUS)).decode().splitlines()[1:]
        return next(words for words in map(str.split, lines) if int(words[1]) == port)

    def is_free(self, port: int) -> bool:
        """Whether nothing is plugged into a port."""
        return self.status(port)[2] == FREE

    def node(self, local: str, pattern: str, seconds: float = 60) -> str:
        """The name of a device node below a device: ``pattern`` is "block/*", "tty/*" or the like."""
        search = ["find", f"/sys/bus/usb/devices/{local}/", "-path", f"*/{pattern}", "-print", "-quit"]
        found = eventually(lambda: self.hand.check(*search).strip(), seconds)
        return str(found).rpartition("/")[2]
