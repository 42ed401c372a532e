"""DNS-SD (RFC 6763) over multicast DNS: the agent makes itself known on the local network as ``_myclerk._tcp``.

What is announced (the host's name, port and fingerprint) is no secret, and nobody trusts it: who connects checks the
fingerprint against what was paired or invited.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from myclerk_protocol.mesh import udf

from . import log as logs
from . import netlink

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

log = logging.getLogger("myclerk.discovery")

SERVICE = "_myclerk._tcp.local."
LABEL = 63
"""Bytes of a label of DNS, and so of an instance's name."""
ADDRESS_CHANGES = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR of linux/rtnetlink.h
SETTLE_SECONDS = 1.0
"""For how long an interface gets its addresses, one after another."""
Interfaces = frozenset[tuple[int, IPAddress]]
"""Each interface's number in the kernel with each of its addresses."""


class Announcement:
    """The agent of ``fingerprint`` (28 characters), announced from :meth:`start` to :meth:`close`.

    ``addresses`` are those that it listens on, as the kernel bound them. What only this machine can reach is not
    announced. When the machine's addresses change (it had none yet when it booted, it moves to another network),
    the agent is announced anew. Without the library zeroconf, or a network, it serves all the same.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], fingerprint: str) -> None:
        bound = [(ipaddress.ip_address(host.partition("%")[0]), port) for host, port in addresses]
        reachable = [(address, port) for address, port in bound if not address.is_loopback]
        self._port = reachable[0][1] if reachable else 0
        self._bound = [address for address, port in reachable if port == self._port]
        self._versions: set[int] = {address.version for address in self._bound}
        self._fingerprint = fingerprint
        self._zeroconf: AsyncZeroconf | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to announce it, which takes the network a second; nobody waits for that."""
        if self._bound:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Say goodbye. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._withdraw()

    async def _run(self) -> None:
        try:
            import zeroconf  # noqa: F401
        except ImportError:
            logs.event(log, logging.INFO, "not announced: the library zeroconf is not installed")
            return
        logging.getLogger("zeroconf").setLevel(logging.ERROR)  # it warns of each interface without multicast
        changed = asyncio.Event()
        try:
            listener = netlink.Listener(netlink.member(socket.NETLINK_ROUTE, ADDRESS_CHANGES), changed.set)
        except OSError as error:
            logs.event(log, logging.WARNING, "not announced", reason=error)
            return
        with contextlib.closing(listener):
            while True:
                interfaces = _interfaces(self._versions)
                await self._announce(interfaces)
                while interfaces == _interfaces(self._versions):
                    await changed.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
                    changed.clear()
                await self._withdraw()

    async def _announce(self, interfaces: Interfaces) -> None:
        from zeroconf import IPVersion, ServiceInfo
        from zeroconf.asyncio import AsyncZeroconf

        version = {4: IPVersion.V4Only, 6: IPVersion.V6Only}
        host = socket.gethostname()
        own = [address for address in self._bound if not address.is_unspecified]
        machine = {address for _, address in interfaces if not address.is_loopback}
        try:
            self._zeroconf = AsyncZeroconf(
                ip_version=IPVersion.All if len(self._versions) > 1 else version[min(self._versions)]
            )
            info = ServiceInfo(
                SERVICE,
                f"{_label(host)}.{SERVICE}",
                port=self._port,
                properties={"fingerprint": udf.grouped(self._fingerprint)},
                server=f"myclerk-{self._fingerprint.lower()}.local.",  # boards set up alike have one name
                addresses=[address.packed for address in own or machine],
            )
            await self._zeroconf.async_register_service(info, allow_name_change=True)
        except Exception as error:  # whatever it is, the agent serves who knows its address
            logs.event(log, logging.WARNING, "not announced", reason=error)
            return
        logs.event(log, logging.INFO, "announced", name=info.name, port=self._port)

    async def _withdraw(self) -> None:
        if self._zeroconf is not None:
            await self._zeroconf.async_close()
            self._zeroconf = None


def _interfaces(versions: set[int]) -> Interfaces:
    """The addresses of this machine, by IP version."""
    import ifaddr  # comes with zeroconf

    found: set[tuple[int, IPAddress]] = set()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if address.version in versions:
                found.add((adapter.index or 0, address))
    return frozenset(found)


def _label(name: str) -> str:
    return name.encode()[:LABEL].decode(errors="ignore")
