"""Invitations: a one-time PIN, the link that carries it, and the QR code of the link (docs/protocol.md)."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import segno

from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh import pin, udf
from myclerk_protocol.mesh.link import DEFAULT_PORT, Link
from myclerk_protocol.status import BadRequest

from .config_checks import Address, Unfit
from .config_checks import address as address_of
from .store import Store

LIFETIME = 15 * 60.0
"""Seconds for which an invitation is good unless said otherwise."""
LIFETIME_RANGE = (60.0, 7 * 86400.0)

PROBES = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Documentation addresses (RFC 5737, RFC 3849): the route to them tells this machine's own address."""
UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104 (compared with, not listened on)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the invited person needs. ``link`` holds the PIN and is a secret; ``expires_at`` is Unix time."""

    link: str = field(repr=False)
    expires_at: float


def invite(
    store: Store,
    environment: Environment,
    agent: str,
    address: Address,
    *,
    access: int,
    administrator: bool = False,
    description: str = "",
    lifetime: float = LIFETIME,
) -> Invitation:
    """Make a PIN that admits one device to the agent of fingerprint ``agent`` (28 characters), and store it.

    ``access`` (0-4), ``administrator`` and ``description`` become the device's; ``lifetime`` is 60 seconds to
    7 days. Raises BadRequest for a value out of range, TooMany when too many invitations are open.
    """
    shortest, longest = LIFETIME_RANGE
    if not shortest <= lifetime <= longest:
        raise BadRequest(f"An invitation is good for {shortest:g} to {longest:g} seconds")
    secret = pin.new_pin(environment.random)
    link = Link(host=address.host, port=address.port or DEFAULT_PORT, fingerprint=agent, pin=secret).format()
    salted = pin.salted_pin(secret)
    stored = store.add_pin(
        udf.compact(pin.pin_id(salted, udf.grouped(agent))),
        udf.parse(salted)[1],
        access=access,
        administrator=administrator,
        description=description,
        lifetime=lifetime,
    )
    return Invitation(link, stored.expires_at)


def render(link: str, terminal: bool) -> str:
    """The link as text, on a ``terminal`` below its QR code: two modules a character, quiet zone included.

    The colours are set, so that the code is dark on light whatever the terminal's own are.
    """
    if not terminal:
        return f"{link}\n"
    drawn = io.StringIO()
    segno.make(link, error="m", micro=False).terminal(drawn, border=4, compact=True)
    lines = [f"\x1b[97;40m{line}\x1b[0m" for line in drawn.getvalue().splitlines()]
    return "\n".join([*lines, "", link, ""])


def draw(link: str, kind: str) -> bytes:
    """The QR code of the link as a file of ``kind`` ("svg", "png", "pdf", "eps", "txt"), to be printed."""
    drawn = io.BytesIO()
    scale = {} if kind == "txt" else {"scale": 4}
    segno.make(link, error="m", micro=False).save(drawn, kind=kind, border=4, **scale)
    return drawn.getvalue()


def label_address(listen: Sequence[Address], host: str | None = None) -> Address:
    """The address for a board's label: ``host``, or the board's name in the local network (RFC 6762)."""
    if host is not None:
        return link_address(listen, host)
    name = socket.gethostname().partition(".")[0]
    return Address(f"{name}.local", listen[0].port if listen else DEFAULT_PORT)


def link_address(listen: Sequence[Address], host: str | None = None) -> Address:
    """The address to put into a link to the agent that listens on ``listen``.

    That is ``host``, which may bring a port along (``board.lan:5657``, ``[::1]:5657``). Without it: what is
    listened on by name or number; else, where all addresses are listened on, this machine's own; else what is
    listened on for this machine alone; else this machine's name. Raises BadRequest for what is no host.
    """
    if host is not None:
        return _given(host, listen[0].port if listen else DEFAULT_PORT)
    specific = [address for address in listen if address.host not in UNSPECIFIED]
    own = (
        Address(candidate, address.port)
        for address in listen
        if address.host in UNSPECIFIED
        for candidate in _own_addresses(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    )
    public = [address for address in specific if not _is_loopback(address.host)]
    port = listen[0].port if listen else DEFAULT_PORT
    return next(chain(public, own, specific), Address(socket.gethostname(), port))


def _given(host: str, port: int) -> Address:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and _is_address(bare):
        return Address(bare, port)
    try:
        return address_of(host if ":" in host else f"{host}:{port}")
    except Unfit as unfit:
        raise BadRequest(f"The host of the link {unfit}") from None


def _own_addresses(family: socket.AddressFamily) -> Iterator[str]:
    """This machine's addresses that others may reach: those of its routes, then those of its name.

    Connecting a UDP socket sends nothing; the kernel only chooses the source address.
    """
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((PROBES[family], 9))
        if _is_usable(probe.getsockname()[0]):
            yield probe.getsockname()[0]
    with contextlib.suppress(OSError):
        for entry in socket.getaddrinfo(socket.gethostname(), None, family, socket.SOCK_STREAM):
            if _is_usable(str(entry[4][0])):
                yield str(entry[4][0])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_usable(host: str) -> bool:
    """Whether another machine may reach ``host`` without naming an interface."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return not (address.is_loopback or address.is_unspecified or address.is_link_local)


def _is_loopback(host: str) -> bool:
    address = host.partition("%")[0]
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(address).is_loopback)
