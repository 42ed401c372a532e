"""Boards that announce themselves on the local network (DNS-SD, ``_myclerk._tcp``)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myclerk_protocol.mesh import udf
from myclerk_protocol.status import LocalError, OperationError

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo

SERVICE = "_myclerk._tcp.local."


@dataclass(frozen=True, slots=True)
class FoundBoard:
    """A board as it announced itself. Nothing of it is proven: pairing and connecting check the fingerprint.

    ``addresses`` are as text, the most useful ones here first; ``fingerprint`` has 28 characters.
    """

    name: str
    host: str
    port: int
    fingerprint: str
    addresses: tuple[str, ...]


async def discover(seconds: float = 3.0) -> list[FoundBoard]:
    """The boards that answer within ``seconds`` on the networks of this machine, by name.

    Raises LocalError without the library zeroconf, or without a network.
    """
    try:
        from zeroconf import IPVersion, ServiceListener, Zeroconf
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
    except ImportError:
        raise LocalError(
            "to discover boards install the Python library zeroconf (Debian: apt install python3-zeroconf)"
        ) from None

    logging.getLogger("zeroconf").setLevel(logging.ERROR)  # it warns of each interface without multicast
    names: set[str] = set()

    class Listener(ServiceListener):
        def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            names.add(name)

        def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            names.add(name)

        def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
            names.discard(name)

    try:
        zeroconf = AsyncZeroconf(ip_version=IPVersion.All)
    except OSError as error:
        raise LocalError(f"this machine has no network to search: {error.strerror or error}") from None
    async with zeroconf:
        browser = AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, listener=Listener())
        await asyncio.sleep(seconds)
        await browser.async_cancel()
        services = [AsyncServiceInfo(SERVICE, name) for name in sorted(names)]
        answered = await asyncio.gather(*(s.async_request(zeroconf.zeroconf, 1000) for s in services))
    boards = [_board(service) for service, answer in zip(services, answered, strict=True) if answer]
    return [board for board in boards if board is not None]


def _board(service: AsyncServiceInfo) -> FoundBoard | None:
    """None for what announces no fingerprint."""
    text = (service.properties.get(b"fingerprint") or b"").decode(errors="replace")
    try:
        fingerprint = udf.compact(text)
        udf.parse(text)
    except OperationError:
        return None
    addresses = sorted(service.parsed_scoped_addresses(), key=_usefulness)
    return FoundBoard(
        name=service.name.removesuffix(f".{SERVICE}"),
        host=(service.server or "").removesuffix("."),
        port=service.port or 0,
        fingerprint=fingerprint,
        addresses=tuple(addresses),
    )


def _usefulness(text: str) -> tuple[bool, bool, int, str]:
    """First what this machine reaches directly: other networks of the board's (containers, say) are of no use here."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return address.is_link_local, not _is_neighbour(address), address.version, text


def _is_neighbour(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is in a network of this machine, and is not this machine's own there."""
    import ifaddr  # comes with zeroconf

    near = False
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            own = ipaddress.ip_interface((ip.ip if isinstance(ip.ip, str) else ip.ip[0], ip.network_prefix))
            if own.ip == address:
                return False
            near = near or address in own.network
    return near
