"""Limits before authentication: connections in all and by address, handshakes a second (docs/protocol.md)."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address (also mapped into IPv6), or an IPv6 /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)


class Limits:
    """Who may still come in. ``time`` is monotonic seconds; connections are counted until they authenticate."""

    def __init__(
        self, connections: int, per_address: int, handshakes_per_second: int, time: Callable[[], float]
    ) -> None:
        self._connections = connections
        self._per_address = per_address
        self._rate = float(handshakes_per_second)
        self._time = time
        self._waiting: Counter[str] = Counter()
        self._total = 0
        self._buckets: dict[str, tuple[float, float]] = {}

    def enter(self, network: str) -> bool:
        """Count a new connection; False when it must be closed at once."""
        if self._total >= self._connections or self._waiting[network] >= self._per_address:
            return False
        self._waiting[network] += 1
        self._total += 1
        return True

    def leave(self, network: str) -> None:
        """A connection authenticated or ended."""
        self._total -= 1
        self._waiting[network] -= 1
        if self._waiting[network] <= 0:
            del self._waiting[network]

    def admit_handshake(self, network: str) -> bool:
        """Whether this address may try another handshake now; a second's worth may come at once."""
        now = self._time()
        tokens, since = self._buckets.get(network, (self._rate, now))
        tokens = min(self._rate, tokens + (now - since) * self._rate)
        if tokens < 1.0:
            self._buckets[network] = (tokens, now)
            return False
        self._buckets[network] = (tokens - 1.0, now)
        return True

    def sweep(self) -> None:
        """Forget addresses that have been quiet for a second."""
        now = self._time()
        self._buckets = {n: (t, s) for n, (t, s) in self._buckets.items() if now - s < 1.0}
