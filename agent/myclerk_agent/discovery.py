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

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

log = logging.getLogger("myclerk.discovery")

SERVICE = "_myclerk._tcp.local."
LABEL = 63
"""Bytes of a label of DNS, and so of an instance's name."""


class Announcement:
    """The agent of ``fingerprint`` (28 characters), announced from :meth:`start` to :meth:`close`.

    ``addresses`` are those that it listens on, as the kernel bound them. What only this machine can reach is not
    announced. Without the library zeroconf, or a network, the agent serves all the same.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], fingerprint: str) -> None:
        self._addresses = [
            (ipaddress.ip_address(host.partition("%")[0]), port)
            for host, port in addresses
            if not ipaddress.ip_address(host.partition("%")[0]).is_loopback
        ]
        self._fingerprint = fingerprint
        self._zeroconf: AsyncZeroconf | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to announce it, which takes the network a second; nobody waits for that."""
        if self._addresses:
            self._task = asyncio.get_running_loop().create_task(self._announce())

    async def _announce(self) -> None:
        try:
            from zeroconf import IPVersion, ServiceInfo
            from zeroconf.asyncio import AsyncZeroconf
        except ImportError:
            logs.event(log, logging.INFO, "not announced: the library zeroconf is not installed")
            return
        logging.getLogger("zeroconf").setLevel(logging.ERROR)  # it warns of each interface without multicast
        host, port = socket.gethostname(), self._addresses[0][1]
        own = [address for address, bound in self._addresses if bound == port and not address.is_unspecified]
        versions: set[int] = {address.version for address, bound in self._addresses if bound == port}
        version = (
            IPVersion.All if len(versions) > 1 else IPVersion.V4Only if 4 in versions else IPVersion.V6Only
        )
        try:
            self._zeroconf = AsyncZeroconf(ip_version=version)
            info = ServiceInfo(
                SERVICE,
                f"{_label(host)}.{SERVICE}",
                port=port,
                properties={"fingerprint": udf.grouped(self._fingerprint)},
                server=f"{_label(host.partition('.')[0])}.local.",
                addresses=[address.packed for address in own or _machine(versions)],
            )
            await self._zeroconf.async_register_service(info, allow_name_change=True)
        except Exception as error:  # whatever it is, the agent serves who knows its address
            logs.event(log, logging.WARNING, "not announced", reason=error)
            return
        logs.event(log, logging.INFO, "announced", name=info.name, port=port)

    async def close(self) -> None:
        """Say goodbye. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            await zeroconf.async_close()


def _machine(versions: set[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of this machine that others on its networks may reach."""
    import ifaddr  # comes with zeroconf

    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if address.version in versions and not address.is_loopback:
                found.append(address)
    return found


def _label(name: str) -> str:
    return name.encode()[:LABEL].decode(errors="ignore")
