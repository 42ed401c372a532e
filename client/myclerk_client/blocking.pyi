"""Written by ``python -m myclerk_client.stubs``; do not edit."""

import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from myclerk_client import (
    AgentNotTrusted,
    BadRequest,
    Conflict,
    ConnectionLost,
    DeviceGone,
    Forbidden,
    HardwareError,
    InternalError,
    InvalidSession,
    KnownBoard,
    KnownBoards,
    LocalError,
    MyClerkError,
    NotFound,
    NotPaired,
    OperationError,
    OperationTimeout,
    ProtocolError,
    ServiceUnavailable,
    SessionLost,
    TooLarge,
    TooMany,
    Unauthorized,
    Unsupported,
)
from myclerk_client.twins import Pending
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Operation

__all__ = [
    "AgentNotTrusted",
    "BadRequest",
    "Batch",
    "Board",
    "ByteStream",
    "Conflict",
    "ConnectionLost",
    "DeviceGone",
    "EventStream",
    "Forbidden",
    "HardwareError",
    "InternalError",
    "InvalidSession",
    "KnownBoard",
    "KnownBoards",
    "LocalError",
    "Lock",
    "MyClerkError",
    "NotFound",
    "NotPaired",
    "OperationError",
    "OperationTimeout",
    "Pending",
    "ProtocolError",
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "pair",
]

class Batch:
    """Requests added inside ``with board.batch() as batch`` leave together when the block ends.

    They execute in the order added; each has its own answer: awaiting what :meth:`add` returned gives it or
    raises its error. The block's end waits for all, and raises nothing by itself.
    """

    def __init__(self, link: Any) -> None: ...
    def add(self, operation: str, /, **fields: Any) -> Pending[dict[str, Any]]:
        """Add a request by registry name and Python field names; an awaitable of its answer."""

    def __enter__(self) -> Batch: ...
    def __exit__(self, kind: object, *exc: object) -> None: ...

class Board:
    """A connection to a paired board that survives network drops.

    >>> with Board.connect("bench") as board:
    ...     with board.serial.open("ttyUSB0", baud=115200) as port:
    ...         port.write(b"AT\\r")
    ...         print(port.read_until(b"\\r\\n", timeout=1))
    """

    link: Any
    name: str
    serial: SerialPorts

    def __init__(self, link: Any, name: str) -> None: ...
    @classmethod
    def connect(
        cls,
        board: str | None = None,
        *,
        boards: KnownBoards | None = None,
        timeout: float = 15.0,
        reconnect: float = 30.0,
        policy: Policy | None = None,
        mode: Mode = ...,
    ) -> Board:
        """Connect to a board by the name it was paired under (None: the only one), or "unix:PATH".

        ``timeout`` is for the first connection, ``reconnect`` how long a lost one may stay away before
        everything that waits fails; both in seconds. Raises NotPaired, ConnectionLost, AgentNotTrusted.
        """

    def __enter__(self) -> Board: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Release everything that this session holds at the board, and disconnect."""

    def request(self, operation: str, /, *, within: float | None = 30.0, **fields: Any) -> dict[str, Any]:
        """Any operation by its registry name, its fields by Python name; the answer's fields.

        Raises OperationTimeout when no answer came ``within`` that many seconds (checked once a second).
        """

    def learn(self, operations: Iterable[Operation], schema: str, source: str) -> None:
        """Let :meth:`request` and batches know the operations of a third-party driver.

        ``schema`` is the CDDL of their payloads, ``source`` names it. Raises LocalError when they clash.
        """

    def batch(self) -> Batch:
        """Collect requests and send them as one sealed message: ``with board.batch() as batch``."""

    def ping(self) -> float:
        """Seconds that a round trip to the agent takes."""

    def devices(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Everything that the board shares with us, or all of one ``kind`` ("serial")."""

    def device(self, resource: str) -> dict[str, Any]:
        """One resource by any of its names. Raises NotFound."""

    def operations(self, resource: str | None = None) -> list[str]:
        """The operations that the board serves, or those that fit one resource."""

    def lock(self, resource: str, *, wait: float = 0.0, ttl: float | None = None) -> Lock:
        """Keep others off a resource: ``with board.lock("serial:ttyUSB0", wait=60)``.

        ``wait`` is how many seconds to wait for it, ``ttl`` after how many it falls by itself.
        """

    def rotate_keys(self) -> None:
        """Mix fresh keys into the session now; it happens by itself each 24 hours."""

    @property
    def session(self) -> Mapping[str, Any]:
        """What was negotiated: tier, whether post-quantum, whether the session was resumed."""

class ByteStream:
    """Bytes pushed by the agent, in order, none lost over a resume."""

    def __init__(self, link: Any, window: int = 262144) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> None:
        """Send the operation that opens this stream. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def resume(self) -> Mapping[str, Any]:
        """What arrived, and how far the agent may push; after a resume it continues there."""

    def lost(self, error: MyClerkError) -> None:
        """The session is gone: readers get the error once everything received was read."""

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""

    def read(self, limit: int = 1048576, timeout: float | None = None) -> bytes:
        """What has arrived, at most ``limit`` bytes; waits for at least one, up to ``timeout`` seconds.

        Empty at the stream's end or when the time is over. Raises the error that ended the stream. A read
        that is cancelled loses nothing.
        """

    def unread(self, data: bytes) -> None:
        """Put back bytes that were read too far."""

    def discard(self) -> None:
        """Throw away everything that has arrived."""

class EventStream:
    """Events pushed by the agent. ``dropped`` counts those that found no credit there."""

    dropped: int

    def __init__(self, link: Any, window: int = 1024) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> None:
        """Send the operation that opens this stream. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def resume(self) -> Mapping[str, Any]:
        """What arrived, and how far the agent may push; after a resume it continues there."""

    def lost(self, error: MyClerkError) -> None:
        """The session is gone: readers get the error once everything received was read."""

    @property
    def buffered(self) -> int:
        """Events that have arrived and were not read yet."""

    def next(self) -> dict[str, Any] | None:
        """The next event, or None when the stream is over. Raises the error that ended it."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

class Lock:
    """A lock taken for the length of a ``with`` block, or by :meth:`acquire` and :meth:`release`.

    Raises Conflict, naming the holder, when it is not to be had within ``wait`` seconds.
    """

    resource: str

    def __init__(self, link: Any, resource: str, wait: float, ttl: float | None) -> None: ...
    def acquire(self) -> None:
        """Take the lock."""

    def release(self) -> None:
        """Give it back. Raises NotFound when it has fallen by its ttl already."""

    def __enter__(self) -> Lock: ...
    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None: ...

class SerialPort:
    """An open serial port. Reading is from a stream that the agent pushes, so a byte costs no round trip.

    ``settings`` are the effective ones, as the kernel reports them.
    """

    resource: str
    settings: dict[str, Any]

    def __init__(self, link: Any, resource: str, opened: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> SerialPort: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close the port at the agent. Idempotent."""

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; the effective ones. Names as in :meth:`SerialPorts.open`."""

    def write(self, data: bytes, *, drain: bool = False, timeout: float | None = None) -> int:
        """Write all of ``data``; returns when the board's kernel took it, with ``drain`` when it was sent.

        Raises OperationTimeout after ``timeout`` seconds; ``details["written"]`` counts what was taken.
        """

    def read(self, limit: int = 1048576, *, timeout: float | None = None) -> bytes:
        """What has arrived, at least one byte and at most ``limit``; empty after ``timeout`` seconds.

        Raises DeviceGone when the port was unplugged, SessionLost when the session is over.
        """

    def read_exactly(self, size: int, *, timeout: float | None = None) -> bytes:
        """Exactly ``size`` bytes, or fewer when ``timeout`` seconds are over or the port hung up."""

    def read_until(
        self, terminator: bytes = b"\n", *, limit: int = 1048576, timeout: float | None = None
    ) -> bytes:
        """Up to and with ``terminator``, or what there is after ``timeout`` seconds or ``limit`` bytes."""

    def __iter__(self) -> Iterator[bytes]: ...
    def in_waiting(self) -> int:
        """Bytes that can be read at once: those here and those in the board's kernel."""

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set DTR and RTS, both in one atomic change."""

    def flush(self, which: str = "both") -> None:
        """Discard what waits in the kernel: "input" (and what has arrived here), "output" or "both"."""

    def lines(self) -> dict[str, Any]:
        """DTR, RTS, CTS, DSR, RI and DCD, bytes waiting, and the kernel's error counters where it has them."""

    def watch_lines(self) -> EventStream:
        """Changes of CTS, DSR, RI and DCD as events {timestamp_ns, line, value}; stop the stream when done."""

    def send_break(self, duration: float = 0.25) -> None:
        """Hold the line in the break condition for ``duration`` seconds, 0 to 10."""

class SerialPorts:
    """The serial ports of a board; ``board.serial``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The ports, each with name, path, description and what USB says of it."""

    def open(self, port: str, **settings: Any) -> SerialPort:
        """Open a port by resource name ("serial:ttyUSB0") or short name ("ttyUSB0"), raw, default 9600 8N1.

        Settings: ``baud`` (any rate), ``data_bits`` 5-8, ``parity`` none/even/odd/mark/space, ``stop_bits``
        1/2, ``rts_cts``, ``xon_xoff``, ``exclusive``, ``hang_up_on_close``, ``dtr`` and ``rts`` (initial
        states), ``rs485`` (a mapping). Raises NotFound, Conflict with the holder, Unsupported for a setting
        that the port's driver does not take.
        """

def pair(
    invitation: str, *, name: str | None = None, boards: KnownBoards | None = None, timeout: float = 15.0
) -> KnownBoard:
    """Pair the board that ``myclerk-agent invite`` made the link for; it is remembered under ``name``.

    Without a name the link's host gives it. Raises BadRequest for a bad link or name, Unauthorized for a PIN
    that is wrong, spent or expired, AgentNotTrusted when the agent is not the one of the link.
    """
