"""What the board itself needs a device for: filesystems and swap on it, and network connections over it."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

SIOCGIFADDR = 0x8915
IFF_UP = 0x1
LINK_LOCAL = 0x20
"""Scope of addresses that every interface gives itself as soon as it is up (/proc/net/if_inet6)."""


class Usage:
    """What the machine uses at this moment, below ``root``; :meth:`of` says which part of it hangs on a device."""

    def __init__(self, root: str = "/") -> None:
        self._root = root
        self._blocks = dict(self._below("sys/class/block"))
        self._networks = dict(self._below("sys/class/net"))

    def of(self, device: str) -> list[str]:
        """What hangs on the device with this directory in sysfs, in sentences; nothing: it can be had."""
        found: list[str] = []
        blocks = [name for name, path in self._blocks.items() if path.startswith(f"{device}/")]
        if blocks:
            used = self._block_uses()
            for name in self._with_holders(blocks):
                found += used.get(name, ())
        networks = [name for name, path in self._networks.items() if path.startswith(f"{device}/")]
        for name in self._with_uppers(networks):
            found += self._network_uses(name)
        return list(dict.fromkeys(found))

    def _below(self, directory: str) -> Iterator[tuple[str, str]]:
        """Name and path of everything in a directory of links."""
        base = os.path.join(self._root, directory)
        for name in sorted(self._entries(directory)):
            with suppress(OSError):
                yield name, os.path.normpath(os.path.join(base, os.readlink(os.path.join(base, name))))

    # -- block devices -------------------------------------------------------------------------------------

    def _with_holders(self, names: Iterable[str]) -> list[str]:
        """Block devices, and those that are made of them: partitions, device mapper, RAID, loops on their files."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found[name] = None
            waiting += self._entries(f"sys/class/block/{name}/holders")
            waiting += self._loops_on(name)
        return list(found)

    def _loops_on(self, name: str) -> Iterator[str]:
        number = self._text(f"sys/class/block/{name}/dev")
        for loop in self._blocks:
            if loop.startswith("loop") and (file := self._text(f"sys/class/block/{loop}/loop/backing_file")):
                if number and self._device_of(file) == number:
                    yield loop

    def _block_uses(self) -> dict[str, list[str]]:
        """Block device -> what it is used for."""
        names = {self._text(f"sys/class/block/{name}/dev"): name for name in self._blocks}
        uses: dict[str, list[str]] = defaultdict(list)
        for number, source, target in self._mounts():
            name = names.get(number) or names.get(self._device_of(source))
            if name:
                uses[name].append(f"{target} is mounted from {name}")
        for path in self._swaps():
            if name := names.get(self._device_of(path)):
                uses[name].append(f"{path} on {name} is swap")
        return uses

    def _mounts(self) -> Iterator[tuple[str, str, str]]:
        """Device number, source and target of each mount (proc_pid_mountinfo(5))."""
        for line in self._text("proc/self/mountinfo").splitlines():
            fields, _, tail = line.partition(" - ")
            _, _, number, _, target, *_ = fields.split(" ")
            yield number, tail.split(" ")[1], _unescaped(target)

    def _swaps(self) -> Iterator[str]:
        for line in self._text("proc/swaps").splitlines()[1:]:
            yield _unescaped(line.split()[0])

    def _device_of(self, path: str) -> str:
        """The number of the block device that a path is, or that holds the file at it; "" for others."""
        if not path.startswith("/"):
            return ""
        try:
            found = os.stat(os.path.join(self._root, path.lstrip("/")))
        except OSError:
            return ""
        number = found.st_rdev or found.st_dev
        return f"{os.major(number)}:{os.minor(number)}"

    # -- network -------------------------------------------------------------------------------------------

    def _with_uppers(self, names: Iterable[str]) -> list[str]:
        """Network interfaces, and those that are made of them: bridges, bonds, VLANs."""
        found: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = None
                entries = self._entries(f"sys/class/net/{name}")
                waiting += (entry.removeprefix("upper_") for entry in entries if entry.startswith("upper_"))
        return list(found)

    def _network_uses(self, name: str) -> Iterator[str]:
        if name in self._default_routes():
            yield f"the default route goes over {name}"
        elif address := self._address(name):
            yield f"{name} is up with address {address}"

    def _default_routes(self) -> set[str]:
        """Interfaces of default routes (proc/net/route: destination and mask 0; ipv6_route: prefix length 0)."""
        found = set()
        for line in self._text("proc/net/route").splitlines()[1:]:
            name, destination, _, _, _, _, _, mask, *_ = line.split()
            if int(destination, 16) == int(mask, 16) == 0:
                found.add(name)
        for line in self._text("proc/net/ipv6_route").splitlines():
            destination, length, *_, name = line.split()
            if int(destination, 16) == int(length, 16) == 0 and name != "lo":
                found.add(name)
        return found

    def _address(self, name: str) -> str | None:
        """An address of an interface that is up, other than those it gave itself."""
        if not int(self._text(f"sys/class/net/{name}/flags") or "0", 16) & IFF_UP:
            return None
        for line in self._text("proc/net/if_inet6").splitlines():
            address, _, _, scope, _, owner = line.split()
            if owner == name and int(scope, 16) != LINK_LOCAL:
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            try:
                answer = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack("16s24x", name.encode()))
            except OSError:
                return None
        return socket.inet_ntoa(answer[20:24])

    # -- files ---------------------------------------------------------------------------------------------

    def _entries(self, directory: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self._root, directory))
        except OSError:
            return []

    def _text(self, path: str) -> str:
        try:
            with open(os.path.join(self._root, path), encoding="utf-8", errors="replace") as file:
                return file.read().rstrip("\n")
        except OSError:
            return ""


def _unescaped(path: str) -> str:
    """Spaces and the like are \\040 in these files."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
