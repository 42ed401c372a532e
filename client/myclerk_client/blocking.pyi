"""Written by ``python -m myclerk_client.stubs``; do not edit."""

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from myclerk_client import (
    AgentNotTrusted,
    BadRequest,
    CanError,
    CanFilter,
    Conflict,
    ConnectionLost,
    DeviceGone,
    Forbidden,
    Frame,
    HardwareError,
    I2cMessage,
    InternalError,
    InvalidSession,
    IsochronousResult,
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
    SpiSegment,
    TooLarge,
    TooMany,
    Unauthorized,
    Unsupported,
    UrbResult,
    UsbTransfer,
)
from myclerk_client.twins import Pending
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.operations import Operation
from myclerk_protocol.usb_descriptors import Endpoint

__all__ = [
    "Access",
    "AgentNotTrusted",
    "BadRequest",
    "Batch",
    "Board",
    "ByteStream",
    "Call",
    "CanBus",
    "CanError",
    "CanFilter",
    "CanInterfaces",
    "Clients",
    "Conflict",
    "ConnectionLost",
    "DeviceEvents",
    "DeviceGone",
    "DeviceRequests",
    "EventStream",
    "Forbidden",
    "Frame",
    "Gpio",
    "GsmModem",
    "GsmModems",
    "HardwareError",
    "HidDevice",
    "HidDevices",
    "I2cBus",
    "I2cBuses",
    "I2cMessage",
    "InternalError",
    "InvalidSession",
    "IsochronousPoll",
    "IsochronousResult",
    "KnownBoard",
    "KnownBoards",
    "Lines",
    "LocalError",
    "Lock",
    "MyClerkError",
    "NotFound",
    "NotPaired",
    "OneWire",
    "OneWireBus",
    "OneWireSelection",
    "OperationError",
    "OperationTimeout",
    "Pending",
    "ProtocolError",
    "PwmOutput",
    "Routes",
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "SharedStream",
    "SmsInbox",
    "SpiDevice",
    "SpiDevices",
    "SpiSegment",
    "Streams",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "UrbResult",
    "UsbDevice",
    "UsbDevices",
    "UsbPoll",
    "UsbTransfer",
    "pair",
]

class Access:
    """The rules of a board, ``board.access``: for its administrators and hubs; anyone may ask about itself.

    A subject is a device's fingerprint or a group, "@lab". A pattern is the name of a resource, in which ``*``
    stands for any characters. Access is "none", "read", "write", "read-write" or "exclusive".

    >>> board.access.grant("@lab", "serial:*", "read-write")
    >>> board.access.explain("serial:ttyUSB0", "MD25-4F6L-...")
    """

    def __init__(self, link: Any) -> None: ...
    def show(self, subject: str | None = None, resource: str | None = None) -> dict[str, Any]:
        """{``rules``, ``groups``} of one subject or all, or those that concern one resource.

        Administrators and hubs also get ``shared``, the patterns of the agent's settings, and ``exceptions`` from
        them. Others get what is about themselves. Raises NotFound for a resource, Forbidden.
        """

    def explain(self, resource: str, device: str | None = None) -> dict[str, Any]:
        """What a device (None: this one) may do with a resource, and why.

        {``resource``, ``access``, ``shared``, ``reason``, and ``rule`` if one decided}. Raises NotFound, Forbidden.
        """

    def grant(self, subject: str, pattern: str, access: str | int = "read-write") -> None:
        """Make a rule, or change the access of the one that is there. It holds at once, also for what is open.

        Raises NotFound for a device that is not paired, BadRequest, Forbidden for what a hub does not have itself.
        """

    def revoke(self, subject: str, pattern: str) -> None:
        """Delete a rule. Raises NotFound when there is none, Forbidden when it is not this hub's."""

    def set(
        self,
        subject: str,
        rules: Mapping[str, str | int] | None = None,
        *,
        members: Iterable[str] | None = None,
        hub: bool | None = None,
    ) -> None:
        """Replace, all or nothing: the rules of a subject (pattern -> access), a group's members, whether it is a hub.

        A hub replaces the rules that it made itself; members and hubs are for administrators. Raises as :meth:`grant`.
        """

    def share(self, resource: str, shared: bool | None) -> bool:
        """Share a resource or not, None: as the agent's settings have it; whether it is shared then.

        It need not be there: what is said is said of this name. For administrators. Raises Forbidden, BadRequest.
        """

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
    access: Access
    can: CanInterfaces
    clients: Clients
    gpio: Gpio
    gsm: GsmModems
    hid: HidDevices
    onewire: OneWire
    i2c: I2cBuses
    requests: DeviceRequests
    routes: Routes
    serial: SerialPorts
    spi: SpiDevices
    streams: Streams
    usb: UsbDevices

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

    def discover(self) -> list[dict[str, Any]]:
        """Everything that is connected to the board, shared or not; for administrators and hubs. Raises Forbidden."""

    def device(self, resource: str) -> dict[str, Any]:
        """One resource by any of its names. Raises NotFound."""

    def subscribe(
        self, kinds: str | Iterable[str] | None = None, resource: str | None = None
    ) -> DeviceEvents:
        """What is plugged in, pulled out or changes: ``with board.subscribe("usb") as events``.

        All devices, those of one kind or some ``kinds``, or one ``resource`` by any of its names, which need not
        be there. Raises NotFound, when it is entered, for a resource of a kind that the board does not serve.
        """

    def wait_for(self, resource: str, *, timeout: float | None = None) -> dict[str, Any]:
        """A resource by any of its names, as soon as it is there. Raises OperationTimeout after that many seconds."""

    def operations(self, resource: str | None = None) -> list[str]:
        """The operations that the board serves, or those that fit one resource."""

    def lock(
        self, resource: str, *, wait: float = 0.0, ttl: float | None = None, key: bytes | None = None
    ) -> Lock:
        """Keep others off a resource: ``with board.lock("serial:ttyUSB0", wait=60)``.

        ``wait`` is how many seconds to wait for it, ``ttl`` after how many it falls by itself. With the ``key`` of
        another session's lock, ``lock.key``, that one is shared.
        """

    def break_lock(self, resource: str) -> None:
        """Let a lock fall, whosever it is; for administrators. Raises NotFound when there is none, Forbidden."""

    def rotate_keys(self) -> None:
        """Mix fresh keys into the session now; it happens by itself each 24 hours."""

    @property
    def session(self) -> Mapping[str, Any]:
        """What was negotiated: tier, whether post-quantum, whether the session was resumed."""

class ByteStream:
    """Bytes pushed by the agent, in order, none lost over a resume."""

    def __init__(self, link: Any, window: int = 262144) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> dict[str, Any]:
        """Send the operation that opens this stream; its answer. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def pause(self) -> None:
        """Let the agent push nothing until :meth:`resume`; what the kernel holds waits there."""

    def resume(self) -> None:
        """Go on behind :meth:`pause`."""

    def set_quality(self, *, interval: float | None = None, rate: int | None = None) -> dict[str, Any]:
        """Spare a thin line: seconds between pushes, 0 to 60, bytes per second of a byte stream; 0: as they come.

        What is None stays as it is. The quality in force; raises Unsupported for the ``rate`` of events.
        """

    def position(self) -> Mapping[str, Any]:
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

class Call:
    """A voice call: ``for event in call`` tells its states, "ended" last. Closing it hangs up."""

    number: int
    state: str
    reason: str | None

    def __init__(self, modem: GsmModem, stream: EventStream, opened: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def next(self) -> dict[str, Any] | None:
        """The next change: ``state``, ``timestamp_ns``, ``reason`` when it ended. None behind the last one."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def until(self, state: str) -> bool:
        """Wait for a ``state`` ("active"); False if the call ended without it."""

    def hang_up(self) -> None:
        """End the call. Raises NotFound when it is over already."""

    def close(self) -> None:
        """Hang up if it is still up. Idempotent."""

class CanBus:
    """An open CAN interface: what is sent on its bus by others arrives here, and what is sent here there.

    ``settings`` are those in force when it was opened or configured last, with the condition of the interface
    beside them, as in :meth:`status`. ``dropped`` counts received frames that were lost for want of room.
    """

    resource: str
    settings: dict[str, Any]
    dropped: int

    def __init__(self, link: Any, resource: str, opened: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close the interface at the agent. Its configuration stays, unless ``restore`` was asked. Idempotent."""

    def send(self, frame: Frame, *, timeout: float | None = None) -> None:
        """Send one frame; returns when the board's kernel took it. Raises as :meth:`send_many`."""

    def send_many(self, frames: Iterable[Frame], *, timeout: float | None = None) -> int:
        """Send frames in this order; how many. While the interface's queue is full this waits.

        Raises OperationTimeout after ``timeout`` seconds, Unsupported for CAN FD frames where only classic ones
        are, HardwareError when the interface is down or bus-off; ``details["sent"]`` counts the frames that were
        taken before, the others are not sent.
        """

    def receive(self, *, timeout: float | None = None) -> Frame | None:
        """The next frame, or None after ``timeout`` seconds. Frames wait from the moment of opening.

        Raises DeviceGone, HardwareError when the interface was taken down, SessionLost.
        """

    def receive_many(self, limit: int = 1000, *, timeout: float | None = None) -> list[Frame]:
        """All frames that are here, at least one and at most ``limit``; none after ``timeout`` seconds."""

    def __iter__(self) -> Iterator[Frame]: ...
    def set_filters(
        self,
        filters: Iterable[CanFilter] | None = None,
        *,
        joined: bool | None = None,
        errors: bool | int | None = None,
        receive_own: bool | None = None,
    ) -> None:
        """Let the board's kernel pass only frames that fit one of at most 512 filters, or ``joined`` all of them.

        No filters at all (an empty list) let no data frame pass. ``errors`` asks for error frames: all, none,
        or a mask of classes (linux/can/error.h). ``receive_own`` also gives what was sent here. None leaves
        things as they are. Frames that are under way already still come.
        """

    def configure(self, *, restore: bool = False, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; what is in force then. Names as in :meth:`CanInterfaces.open`.

        ``restore`` has what was before put back when the last handle on the interface is closed. Raises
        Conflict while somebody else has it open, unless nothing has to change.
        """

    def restart(self) -> dict[str, Any]:
        """Leave bus-off. Raises Conflict when the controller is not in it, or will leave by itself."""

    def status(self) -> dict[str, Any]:
        """Settings in force; ``state`` (error-active to bus-off), error counters, bit timing, statistics."""

class CanInterfaces:
    """The CAN interfaces of a board; ``board.can``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The interfaces, each with its kind, settings in force, bus state, error counters and statistics."""

    def open(
        self,
        interface: str,
        *,
        filters: Iterable[CanFilter] | None = None,
        joined: bool | None = None,
        errors: bool | int | None = None,
        receive_own: bool | None = None,
        restore: bool = False,
        **settings: Any,
    ) -> CanBus:
        """Open an interface by resource name ("can:can0") or short name ("can0") and receive from then on.

        With settings it is configured and brought up, too: ``bitrate`` and ``data_bitrate`` (bits per second),
        ``sample_point`` and ``data_sample_point`` (0.875), ``fd``, ``listen_only``, ``loopback``, ``one_shot``,
        ``triple_sampling``, ``berr_reporting`` (error frames for each bus error), ``restart_ms`` (after bus-off;
        0: not by itself), ``up``. The rest is as in :meth:`CanBus.set_filters` and :meth:`CanBus.configure`.
        Raises NotFound, BadRequest, Unsupported; Conflict when it is open elsewhere with other settings.
        """

class Clients:
    """The clients of a board, ``board.clients``, by fingerprint: oneself, or all for administrators and hubs.

    >>> for client in board.clients.list():
    ...     print(client["description"], client["connected"])
    """

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The paired devices in the order of their pairing, revoked ones included. Raises Forbidden."""

    def find(self, text: str) -> str:
        """The fingerprint of the one device that ``text`` means: its name, its fingerprint or the start of that.

        Raises NotFound, Forbidden.
        """

    def info(self, client: str | None = None) -> dict[str, Any]:
        """{``client``, ``groups``, ``rules``} of one device, None: this one. Raises NotFound, Forbidden."""

    def status(self, client: str | None = None) -> dict[str, Any]:
        """{``connected``, ``sessions``, perhaps ``activity``}: what a device does now, None: this one.

        Each session has ``session_id``, ``connected``, ``session_tier``, ``post_quantum``, ``own``,
        ``holds`` and ``locks`` (names of resources), ``streams``. Raises NotFound, Forbidden.
        """

    def heartbeat(self, activity: str | None = None) -> int:
        """Show that somebody is there, and doing ``activity`` ("" for nothing any more); the board's Unix time."""

    def assign(self, client: str, resource: str, access: str | int = "read-write") -> None:
        """Give a device access to one resource, shared or not; it counts for whatever has this name.

        Raises NotFound, Forbidden for what a hub does not have itself.
        """

    def unassign(self, client: str, resource: str) -> None:
        """Take back what was assigned, by any name of the resource. Raises NotFound, Forbidden."""

    def revoke(self, client: str) -> None:
        """Refuse a device from now on: its sessions end at once. For administrators, and for oneself."""

class DeviceEvents:
    """Devices that are plugged in, pulled out or otherwise at a board, while ``with`` holds it.

    >>> with board.subscribe(["usb", "serial"]) as events:
    ...     for event in events:
    ...         print(event["action"], event["device"]["name"])

    ``devices`` is what was there at the start, as :meth:`Board.devices` lists it; the events begin behind it.
    Each is {action, device}: "add", "remove" with the device as it was, "change" with the device as it is now.
    What happened while the connection was lost is told when it is back; what came and went meanwhile is not.
    """

    devices: list[dict[str, Any]]

    def __init__(self, link: Any, kinds: str | Iterable[str] | None, resource: str | None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def next(self) -> dict[str, Any] | None:
        """The next event, or None when this was left. Raises SessionLost: subscribe again then."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

class DeviceRequests:
    """Requests for resources, ``board.requests``: hubs ask, administrators decide on each resource.

    A request is named by its ``token``. It is "pending", then "approved", "partially approved", "rejected",
    "expired" or "cancelled".

    >>> token = (board.requests.create(["serial:ttyUSB0"], reason="for the test rack"))["token"]
    >>> board.requests.details(token, wait=3600)
    """

    def __init__(self, link: Any) -> None: ...
    def create(
        self,
        resources: Mapping[str, str | int] | Iterable[str],
        *,
        client: str | None = None,
        reason: str = "",
        lifetime: float | None = None,
    ) -> dict[str, Any]:
        """Ask for resources, with their access or all for read-write: {``token``, ``expires_at``}.

        They are for ``client`` (a fingerprint, None: this device); what is not decided within ``lifetime`` seconds
        (60 to 30 days, by default a day) expires. For hubs and administrators. Raises NotFound, Forbidden, TooMany.
        """

    def list(self, *, pending: bool = False) -> builtins.list[dict[str, Any]]:
        """All requests for administrators, their own for hubs, or only those that are pending. Raises Forbidden."""

    def details(self, token: str, *, wait: float = 0.0) -> dict[str, Any]:
        """A request with its ``resources`` {``resource``, ``access``, ``approved`` once decided} and the ``answer``.

        Waits up to ``wait`` seconds for the decision. Raises NotFound, Forbidden.
        """

    def approve(self, token: str, resources: Iterable[str] | None = None, *, answer: str = "") -> str:
        """Give access to all that was asked for, or to these resources; the state then. For administrators.

        Raises NotFound, BadRequest for what was not asked for, Conflict when it is not pending any more.
        """

    def reject(self, token: str, *, answer: str = "") -> str:
        """Give nothing; the state then. For administrators. Raises as :meth:`approve`."""

    def cancel(self, token: str) -> None:
        """Withdraw a request. Raises NotFound, Conflict when it is not pending any more."""

class EventStream:
    """Events pushed by the agent. ``dropped`` counts those that found no credit there."""

    dropped: int

    def __init__(self, link: Any, window: int = 1024) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> dict[str, Any]:
        """Send the operation that opens this stream; its answer. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push. Raises MalformedMessage when it does not continue where the last one ended."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def pause(self) -> None:
        """Let the agent push nothing until :meth:`resume`; what the kernel holds waits there."""

    def resume(self) -> None:
        """Go on behind :meth:`pause`."""

    def set_quality(self, *, interval: float | None = None, rate: int | None = None) -> dict[str, Any]:
        """Spare a thin line: seconds between pushes, 0 to 60, bytes per second of a byte stream; 0: as they come.

        What is None stays as it is. The quality in force; raises Unsupported for the ``rate`` of events.
        """

    def position(self) -> Mapping[str, Any]:
        """What arrived, and how far the agent may push; after a resume it continues there."""

    def lost(self, error: MyClerkError) -> None:
        """The session is gone: readers get the error once everything received was read."""

    @property
    def buffered(self) -> int:
        """Events that have arrived and were not read yet."""

    def next(self) -> dict[str, Any] | None:
        """The next event, or None when the stream is over. Raises the error that ended it."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

class Gpio:
    """The GPIO chips of a board; ``board.gpio``.

    >>> with board.gpio.request(["LED", "RELAY"], direction="output") as lines:
    ...     lines.set({"LED": True, "RELAY": False})
    """

    def __init__(self, link: Any) -> None: ...
    def pwm_chips(self) -> builtins.list[dict[str, Any]]:
        """The chips for hardware PWM, each with name, label and channels."""

    def info(
        self, target: str | int | None = None, *, chip: str | None = None
    ) -> builtins.list[dict[str, Any]]:
        """What the kernel says of a line, of all lines of a chip, or of all lines of the board.

        Each with chip, offset, name, used, consumer, direction, active_low, bias, drive. Leaves the hardware
        alone, so there are no values; those take requesting a line. Raises NotFound.
        """

    def request(
        self,
        lines: str | int | Iterable[str | int] | Mapping[str | int, bool | Mapping[str, Any]],
        *,
        chip: str | None = None,
        consumer: str | None = None,
        **settings: Any,
    ) -> Lines:
        """Request lines of one chip, 1 to 64, to set, read and watch together: ``board.gpio.request("LED")``.

        ``lines`` are names, with ``chip`` also offsets; a mapping gives some their own settings, or makes them
        outputs with a value: ``{"LED": True, "BUTTON": {"bias": "pull-up"}}``. Settings: ``direction`` input,
        output, as-is; ``value`` (an output's first one), ``active_low``, ``bias`` disabled/pull-up/pull-down,
        ``drive`` push-pull/open-drain/open-source, ``debounce`` (seconds), ``event_clock`` monotonic/realtime/hte,
        ``on_release`` input/hold/low/high: what a line is left as, an output by default as an input.

        Raises NotFound, BadRequest, Conflict with the holder, Unsupported for what the chip cannot do.
        """

    def pwm(
        self,
        output: str | int,
        *,
        frequency: float | None = None,
        period_ns: int | None = None,
        duty: float | None = None,
        duty_ns: int | None = None,
        polarity: str = "normal",
        enabled: bool = True,
        chip: str | None = None,
    ) -> PwmOutput:
        """Start PWM on a channel of a PWM chip ("pwmchip0/1", exact), or on any line, by software up to 200 Hz.

        ``frequency`` in hertz or ``period_ns``; ``duty`` as a part of the period, 0 to 1, or ``duty_ns``;
        ``polarity`` normal or inversed. It stops when it is closed. Raises NotFound, BadRequest, Conflict,
        Unsupported for what the channel cannot do.
        """

    def list(self) -> builtins.list[dict[str, Any]]:
        """The chips, each with name, label, path and line_names by offset."""

class GsmModem:
    """One modem. Nothing is opened or held; all sessions use it together.

    All methods raise NotFound when it is not plugged in, OperationTimeout when it does not answer, Conflict when
    another program on the board has its tty (``details["holder"]`` names it) or its SIM is locked, DeviceGone.
    """

    resource: str

    def __init__(self, link: Any, resource: str) -> None: ...
    def initialise(
        self,
        *,
        pin: str | None = None,
        puk: str | None = None,
        new_pin: str | None = None,
        last_try: bool = False,
        reset: bool = False,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Set it up, unlock its SIM, wait up to ``wait`` seconds for the network; its status.

        A PIN that was refused is not tried again, the last try only with ``last_try``. ``puk`` needs ``new_pin``.
        Raises BadRequest for a wrong code, with the tries that are left in its message.
        """

    def release(self) -> None:
        """Give its tty back at once, say for `myclerk serial console`. Raises Conflict while something uses it."""

    def status(self) -> dict[str, Any]:
        """``manufacturer``, ``model``, ``firmware``, ``imei``, ``sim``, ``iccid``, ``imsi``, tries and memory left."""

    def network(self) -> dict[str, Any]:
        """``state`` ("home", "roaming", "searching"...), ``operator``, ``access``, ``area``, ``cell``."""

    def signal(self) -> dict[str, Any]:
        """``rssi`` in dBm, ``bit_error_rate`` in percent, and of LTE ``rsrp`` (dBm), ``rsrq`` and ``sinr`` (dB)."""

    def send(
        self,
        to: str,
        text: str | None = None,
        *,
        data: bytes | None = None,
        encoding: str = "auto",
        language: str | None = None,
        flash: bool = False,
        report: bool = False,
        validity: float | None = None,
        ports: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """Send a message, in parts if it is long; ``references`` and ``parts`` when the network has taken all.

        ``encoding`` is "auto", "gsm7" or "ucs2"; ``language`` ("turkish") lets its national tables be used, which saves
        parts; ``report`` asks for delivery reports, which :meth:`receive` gives; ``validity`` is in seconds. Raises
        BadRequest, ServiceUnavailable without network; ``details["sent"]`` counts the parts that went before.
        """

    def receive(self, *, stored: bool = True, delete: bool = False) -> SmsInbox:
        """What comes in from now on, beginning with what is ``stored``; see :class:`SmsInbox`."""

    def messages(self) -> list[dict[str, Any]]:
        """All messages in the modem's memory."""

    def delete(
        self, ids: Iterable[str | Mapping[str, Any]] | None = None, *, statuses: Sequence[str] | None = None
    ) -> int:
        """Delete messages (as :meth:`messages` gives them, or their ``id``), or all of some ``statuses``.

        How many there were, each part counted. Statuses are "unread", "read", "unsent", "sent".
        """

    def ussd(self, code: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Send a code such as "*100#": ``text``, and ``state``, which is "waiting" when a reply is wanted.

        Raises ServiceUnavailable for a code that the network does not know; OperationTimeout after 60 s or ``timeout``.
        """

    def ussd_reply(self, text: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Reply to what the network asked; as :meth:`ussd`. Raises Conflict when it asked nothing."""

    def ussd_cancel(self) -> None:
        """End the dialogue."""

    def gnss(self, enabled: bool) -> None:
        """Switch the receiver on or off. Raises Unsupported where there is none."""

    def position(self, *, timeout: float | None = None) -> dict[str, Any] | None:
        """``latitude``, ``longitude``, ``altitude``, ``speed`` (m/s), ``timestamp``...; None without a fix.

        With a ``timeout`` in seconds it waits for a fix, and raises OperationTimeout then. Raises Conflict while off.
        """

    def history(self, since: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Recorded positions from number ``since`` on, oldest first, at most 1000; and ``since`` for the next ones."""

    def configure_gnss(
        self,
        *,
        constellations: Sequence[str] | None = None,
        record_interval: float | None = None,
        record_limit: int | None = None,
    ) -> dict[str, Any]:
        """Choose among "gps", "glonass", "beidou", "galileo", "qzss"; record a position each ``record_interval`` s.

        0 ends recording, which else goes on without this session. What is absent stays; what is in force is returned.
        """

    def dial(self, to: str) -> Call:
        """Place a voice call to a number. It lasts as long as what is returned is open, and this session lives."""

    def answer(self) -> Call:
        """Take the call that rings; as :meth:`dial`. Raises Conflict when none does."""

    def calls(self) -> EventStream:
        """The changes of all calls, those that ring among them; stop the stream when done."""

    def hang_up(self, call: int | None = None) -> int:
        """End one call, or all; how many there were. Raises NotFound for a call that is over."""

class GsmModems:
    """The modems of a board; ``board.gsm``."""

    def __init__(self, link: Any) -> None: ...
    def modem(self, name: str) -> GsmModem:
        """A modem by resource name ("gsm:ttyUSB2") or short name; nothing is asked yet."""

    def list(self) -> builtins.list[dict[str, Any]]:
        """The modems: ``name``, ``description``, and in ``properties`` their ttys and what USB says of them."""

class HidDevice:
    """The reports of an input device, as long as they are routed here.

    >>> with board.hid.open("event3") as device:
    ...     for report in device:
    ...         print(report["events"])

    Events are reports {timestamp_ns, events}, ``events`` being [type, code, value] each, by the numbers of
    linux/input-event-codes.h; with ``resync`` a report says where things are, after some were dropped or at the
    start. Between them {active, holder} tells when the stream comes and goes. ``description`` has names, identity
    and capabilities of the device.
    """

    dropped: int
    resource: str
    active: bool
    holder: str | None
    at: int
    description: dict[str, Any]

    def __init__(self, link: Any, resource: str) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> dict[str, Any]:
        """Send the operation that opens this stream; its answer. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def pause(self) -> None:
        """Let the agent push nothing until :meth:`resume`; what the kernel holds waits there."""

    def resume(self) -> None:
        """Go on behind :meth:`pause`."""

    def set_quality(self, *, interval: float | None = None, rate: int | None = None) -> dict[str, Any]:
        """Spare a thin line: seconds between pushes, 0 to 60, bytes per second of a byte stream; 0: as they come.

        What is None stays as it is. The quality in force; raises Unsupported for the ``rate`` of events.
        """

    def position(self) -> Mapping[str, Any]:
        """What arrived, and how far the agent may push; after a resume it continues there."""

    def lost(self, error: MyClerkError) -> None:
        """The session is gone: readers get the error once everything received was read."""

    @property
    def buffered(self) -> int:
        """Events that have arrived and were not read yet."""

    def next(self) -> dict[str, Any] | None:
        """The next event, or None when the stream is over. Raises the error that ended it."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def changed(self) -> None:
        """Until the stream comes here, goes to another client, or is over."""

    def wait_active(self, timeout: float | None = None) -> None:
        """Until the stream is ours, or over. Raises OperationTimeout after ``timeout`` seconds."""

    def set_lights(self, lights: Mapping[int, bool]) -> None:
        """Switch lights of a keyboard on or off, by LED_ numbers: 0 num lock, 1 caps lock, 2 scroll lock.

        Raises BadRequest for lights that it does not have, Conflict while the stream is another client's.
        """

    def send(self, events: Iterable[tuple[int, int, int]]) -> None:
        """Send lights and sounds (type, code, value). Raises as :meth:`set_lights`."""

class HidDevices:
    """The input devices of a board; ``board.hid``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The devices, each with name, path, description, kinds (keyboard, mouse, ...) and identity."""

    def open(self, device: str, *, grab: bool = False) -> HidDevice:
        """The reports of a device by resource name ("hid:event3") or short name ("event3").

        ``grab`` keeps them from everybody else on the board, as long as the stream is ours. Others may have the
        stream open, too: routes say whose it is. Raises NotFound; Conflict when another program has grabbed it.
        """

class I2cBus:
    """One bus of a board. Making it asks the board nothing.

    The SMBus methods are named as in smbus2; blocks are bytes. ``pec`` adds a checksum to each SMBus command that can
    have one. ``force`` talks to reserved addresses, and to those that a driver of the board's kernel has.

    All methods raise HardwareError when no device answers, with ``details["errno"]`` "ENXIO", "EREMOTEIO" or "ENODEV",
    as the adapter's driver has it; Conflict for an address that a kernel driver has; Unsupported for what the adapter
    cannot do.
    """

    resource: str
    pec: bool
    force: bool

    def __init__(self, link: Any, resource: str, *, pec: bool = False, force: bool = False) -> None: ...
    def scan(
        self, first: int | None = None, last: int | None = None, method: str = "auto"
    ) -> list[dict[str, Any]]:
        """The addresses where a device is: {address, state}, state "present" or "busy" with the kernel's driver.

        As i2cdetect does it, from 0x08 to 0x77: ``method`` "auto", "quick" (quick write) or "read" (receive byte).
        """

    def watch_scan(
        self, first: int | None = None, last: int | None = None, method: str = "auto"
    ) -> EventStream:
        """The same scan as a stream of all addresses as they are looked at.

        Events are {address, state, ? driver}, state "present", "absent", "busy" or "skipped" (the adapter lacks the
        method). Stopping the stream stops the scan.
        """

    def transfer(self, *messages: I2cMessage) -> list[bytes]:
        """Send 1 to 42 messages as one transfer with repeated starts; what each one that reads gave, in order."""

    def read_byte(self, address: int) -> int:
        """SMBus "receive byte"."""

    def write_byte(self, address: int, value: int) -> None:
        """SMBus "send byte"."""

    def read_byte_data(self, address: int, register: int) -> int:
        """One byte of a register."""

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        """One byte into a register."""

    def read_i2c_block_data(self, address: int, register: int, size: int = 32) -> bytes:
        """``size`` bytes from a register on: up to 8192, with an adapter that has SMBus only up to 32."""

    def write_i2c_block_data(self, address: int, register: int, data: bytes | Iterable[int]) -> None:
        """``data`` from a register on: up to 8191 bytes, with an adapter that has SMBus only up to 32."""

    def write_quick(self, address: int) -> None:
        """Nothing but the address with the write bit."""

    def read_quick(self, address: int) -> None:
        """Nothing but the address with the read bit."""

    def read_word_data(self, address: int, register: int) -> int:
        """Two bytes of a register, the low one first on the bus."""

    def write_word_data(self, address: int, register: int, value: int) -> None:
        """Two bytes into a register, the low one first on the bus."""

    def process_call(self, address: int, register: int, value: int) -> int:
        """Write a word, then read one."""

    def read_block_data(self, address: int, register: int) -> bytes:
        """A block whose length the device says, up to 32 bytes."""

    def write_block_data(self, address: int, register: int, data: bytes | Iterable[int]) -> None:
        """A block with its length in front, up to 32 bytes."""

    def block_process_call(self, address: int, register: int, data: bytes | Iterable[int]) -> bytes:
        """Write a block, then read one."""

class I2cBuses:
    """The I2C buses of a board; ``board.i2c``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The buses: name, number, adapter, its functionality, and the devices that the board's kernel knows of."""

    def bus(self, bus: int | str, *, pec: bool = False, force: bool = False) -> I2cBus:
        """A bus by number (1) or resource name ("i2c:1"). Whether it exists, its first operation says."""

class IsochronousPoll:
    """An isochronous endpoint that the board reads without a pause: ``for result in poll``."""

    def __init__(self, stream: EventStream) -> None: ...
    def next(self) -> IsochronousResult | None:
        """The next packets, or None when the poll was stopped. Raises the error that ended it."""

    def __iter__(self) -> Iterator[IsochronousResult]: ...
    def stop(self) -> None:
        """Stop reading. Idempotent."""

class Lines:
    """Lines of one chip that were requested together. Values are logical: True is active.

    ``offsets`` says which offset each line has; its keys are the lines as they were asked for, and are what
    the methods take and give.
    """

    resource: str
    offsets: dict[str | int, int]
    names: dict[int, str]

    def __init__(self, link: Any, asked: Iterable[str | int], answer: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close it at the agent. Idempotent."""

    def set(self, values: Mapping[str | int, bool]) -> None:
        """Set outputs, all at once: ``lines.set({"LED": True, "RELAY": False})``.

        Raises BadRequest for an input, NotFound for a line that was not requested here.
        """

    def get(self, *lines: str | int) -> dict[str | int, bool]:
        """Values of these lines, or of all, read at once."""

    def value(self, line: str | int | None = None) -> bool:
        """The value of one line; without ``line`` of the only one."""

    def watch(self, *lines: str | int, edges: str = "both") -> EventStream:
        """Edges of these lines, or of all inputs: "rising" (it became active), "falling" or "both".

        Events are {timestamp_ns, line (offset), name, edge, sequence}: the kernel's time, by the line's
        ``event_clock``, and its count of this line's edges. ``stream.dropped`` counts lost ones. Stop the
        stream when done; there may be several. Raises Unsupported where the chip cannot detect edges.
        """

class Lock:
    """A lock taken for the length of a ``with`` block, or by :meth:`acquire` and :meth:`release`.

    Raises Conflict, naming the holder, when it is not to be had within ``wait`` seconds. Who waits gets it in the
    order of asking. ``key`` is known once it was acquired: another session that is given it shares this lock.
    """

    resource: str
    key: bytes | None

    def __init__(
        self, link: Any, resource: str, wait: float, ttl: float | None, key: bytes | None = None
    ) -> None: ...
    def acquire(self) -> None:
        """Take the lock, or begin the time of one that this session has anew."""

    def release(self) -> None:
        """Give it back. Raises NotFound when it has fallen already, by its ttl or because somebody broke it."""

    def __enter__(self) -> Lock: ...
    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None: ...

class OneWire:
    """The 1-Wire buses and thermometers of a board; ``board.onewire``."""

    def __init__(self, link: Any) -> None: ...
    def bus(self, name: str) -> OneWireBus:
        """A bus by resource name ("w1:w1_bus_master1") or short name; nothing is asked yet."""

    def thermometers(self) -> builtins.list[dict[str, Any]]:
        """The thermometers of all buses: ``name``, ``rom``, ``family``, ``type``."""

    def temperature(self, thermometer: str) -> float:
        """Let "28-0000075f4d2c" measure; degrees Celsius. Takes up to 0.75 s, more at 13 and 14 bits.

        Raises HardwareError for damaged data (EBADMSG) and for the 85 degrees that say that it did not measure;
        DeviceGone when it does not answer; NotFound.
        """

    def settings(self, thermometer: str) -> dict[str, Any]:
        """``resolution`` in bits, ``alarm_low`` and ``alarm_high`` in whole degrees Celsius, ``external_power``,
        ``conversion_time`` in seconds; what the board's kernel does not tell is absent."""

    def configure(
        self,
        thermometer: str,
        *,
        resolution: int | None = None,
        alarm_low: int | None = None,
        alarm_high: int | None = None,
        save: bool = False,
    ) -> dict[str, Any]:
        """Change a thermometer's ``resolution`` (9 to 12 bits, some have more) and alarm limits (-55 to 125).

        They hold until it loses power; ``save`` keeps them in its EEPROM, which takes some 50,000 writes. Returns
        the settings. Raises BadRequest for what it cannot have.
        """

    def transaction(self, device: str, *, write: bytes = b"", read: int = 0, crc: bool = False) -> bytes:
        """:meth:`OneWireBus.transaction` with a device that the board lists, whatever bus it is on."""

    def select(self, device: str) -> OneWireSelection:
        """:meth:`OneWireBus.match_rom` with a device that the board lists."""

    def list(self) -> builtins.list[dict[str, Any]]:
        """The buses, each with its devices and what the board's kernel says of it."""

class OneWireBus:
    """One bus. Nothing is opened or held: each call is one access, or one search.

    Devices are named as Linux does: "28-0000075f4d2c". All methods raise DeviceGone when the bus or the device is not
    there, HardwareError for damaged data (``details["errno"]`` is then EBADMSG), Unsupported where the board's kernel
    lets nobody exchange bytes.
    """

    resource: str

    def __init__(self, link: Any, resource: str) -> None: ...
    def search(self) -> list[dict[str, Any]]:
        """All devices, each with ``rom``, ``code`` (8 bytes), ``family`` and the usual ``type``. Takes seconds."""

    def alarm_search(self) -> list[dict[str, Any]]:
        """The devices in alarm; thermometers are by their last measurement and their limits."""

    def reset(self) -> bool:
        """Reset the bus; whether a device is there."""

    def read_rom(self) -> dict[str, Any]:
        """The only device on the bus, as in :meth:`search`. Raises HardwareError when there are several."""

    def transaction(self, *, rom: str | None, write: bytes = b"", read: int = 0, crc: bool = False) -> bytes:
        """Reset, select ``rom`` (None: all devices), write, read: one access that nobody can come between.

        ``crc``: the last byte read is the CRC-8 of those before it. Returns what was read; at most 4096 bytes each
        way.

        >>> scratchpad = bus.transaction(rom="28-0000075f4d2c", write=b"\\xbe", read=9, crc=True)
        """

    def match_rom(self, rom: str) -> OneWireSelection:
        """Select one device, for steps one by one."""

    def skip_rom(self) -> OneWireSelection:
        """Select all devices at once, for steps one by one."""

    def temperatures(self) -> list[dict[str, Any]]:
        """All thermometers of the bus, which measure at the same time.

        Each has ``name`` and either ``temperature`` in degrees Celsius or, as a sentence, ``message``.
        """

class OneWireSelection:
    """Devices that were selected on a bus, for one step after the other: :meth:`write`, then :meth:`read`.

    It holds nothing: others may use the bus in between, and the next selection on the bus replaces it. Then these
    raise Conflict. :meth:`OneWireBus.transaction` does all in one step, which is faster and cannot be interrupted.
    """

    resource: str

    def __init__(self, link: Any, resource: str, number: int) -> None: ...
    def write(self, data: bytes, *, read: int | None = None, crc: bool = False) -> bytes:
        """Reset, select again, write ``data``, read ``read`` bytes; in one access to the bus. What was read."""

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes (1 to 4096), without a reset. Raises Conflict when the bus was used since.

        An access of the board's own thermometer driver goes unnoticed: check what you read.
        """

class PwmOutput:
    """A PWM output. ``state`` is what it does, as the agent said last: {source, period_ns, duty_ns, ...}."""

    resource: str
    state: dict[str, Any]

    def __init__(self, link: Any, resource: str, answer: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close it at the agent. Idempotent."""

    def set(
        self,
        duty: float | None = None,
        *,
        duty_ns: int | None = None,
        frequency: float | None = None,
        period_ns: int | None = None,
        polarity: str | None = None,
        enabled: bool | None = None,
    ) -> dict[str, Any]:
        """Change what is given; what it does then. ``duty`` is a part of the period, 0 to 1.

        A new frequency (in hertz) or period alone leaves that part as it is. Raises BadRequest, Unsupported.
        """

class Routes:
    """Who gets the streams of a board; ``board.routes``. For administrators and hubs.

    Of the clients that have a stream open it goes to the one whose route has the highest priority, of equal ones to
    that of the newest route. Clients without a route come behind those, in the order in which they opened it.
    """

    def __init__(self, link: Any) -> None: ...
    def list(self, resource: str | None = None) -> builtins.list[dict[str, Any]]:
        """The routes (of one resource), each with ``state``: active, waiting, or idle: its stream is not open."""

    def create(self, resource: str, client: str, *, priority: int = 0) -> int:
        """Lead the stream of a resource to a client, by its fingerprint; the number of the route.

        ``priority`` is 0 to 65535. Raises NotFound, Conflict when there is such a route, Forbidden.
        """

    def delete(self, route: int) -> None:
        """Forget a route; the stream goes to whoever is first without it. Raises NotFound."""

    def modify(self, route: int, *, resource: str | None = None, client: str | None = None) -> None:
        """Let a route lead from another resource, or to another client. Raises NotFound, Conflict."""

    def set_priority(self, route: int, priority: int) -> None:
        """Give a route another priority, 0 to 65535. Raises NotFound."""

class SerialPort:
    """An open serial port. Reading is from a stream that the agent pushes, so a byte costs no round trip.

    ``settings`` are the effective ones, as the kernel reports them.
    """

    resource: str
    settings: dict[str, Any]

    def __init__(self, link: Any, resource: str, opened: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
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

class SharedStream:
    """The bytes of a resource, as long as they are routed here; ``settings`` are those in force.

    >>> with board.streams.start("serial:ttyUSB0", baud=115200) as stream:
    ...     for data in stream:
    ...         print(data)
    """

    resource: str
    active: bool
    holder: str | None
    at: int
    settings: dict[str, Any]

    def __init__(self, link: Any, resource: str) -> None: ...
    def open(self, operation: str, fields: Mapping[str, Any], *, compress: bool = False) -> dict[str, Any]:
        """Send the operation that opens this stream; its answer. Raises the agent's error."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push."""

    def stop(self) -> None:
        """Stop the stream at the agent. Idempotent."""

    def pause(self) -> None:
        """Let the agent push nothing until :meth:`resume`; what the kernel holds waits there."""

    def resume(self) -> None:
        """Go on behind :meth:`pause`."""

    def set_quality(self, *, interval: float | None = None, rate: int | None = None) -> dict[str, Any]:
        """Spare a thin line: seconds between pushes, 0 to 60, bytes per second of a byte stream; 0: as they come.

        What is None stays as it is. The quality in force; raises Unsupported for the ``rate`` of events.
        """

    def position(self) -> Mapping[str, Any]:
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

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def changed(self) -> None:
        """Until the stream comes here, goes to another client, or is over."""

    def wait_active(self, timeout: float | None = None) -> None:
        """Until the stream is ours, or over. Raises OperationTimeout after ``timeout`` seconds."""

    def write(self, data: bytes) -> int:
        """Send; returns when the board's kernel took all. Raises Conflict while the stream is another client's."""

    def __iter__(self) -> Iterator[bytes]: ...

class SmsInbox:
    """What comes in: ``for event in inbox``. Each has ``kind``: "message", "report", "storage-full" or "lost".

    A message stays in the modem until it is deleted. With ``delete`` that is done when the loop comes back for the next
    event: what the body of the loop has not finished comes again, to whoever asks next. A modem that is away or does
    not answer is asked again with the event after that.
    """

    def __init__(self, modem: GsmModem, stream: EventStream, delete: bool) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def next(self) -> dict[str, Any] | None:
        """The next event, None when the inbox was stopped. Raises SessionLost, or Forbidden to delete."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def stop(self) -> None:
        """Receive no more. Idempotent."""

class SpiDevice:
    """An open SPI device.

    ``settings`` are those in force, as the board's kernel has them; ``buffer_size`` is how many bytes one transfer can
    have in each direction: a longer one raises TooLarge, as nothing but the kernel's parameter ``bufsiz`` can make
    room for it without releasing chip select.
    """

    resource: str
    buffer_size: int
    settings: dict[str, Any]

    def __init__(self, link: Any, resource: str, opened: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close it at the agent. Idempotent."""

    def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; those in force. Names as in :meth:`SpiDevices.open`."""

    def transfer(self, data: bytes) -> bytes:
        """Send ``data``; what came meanwhile, as many bytes."""

    def message(self, *segments: SpiSegment) -> list[bytes]:
        """Send 1 to 511 segments under one chip select; what each one that receives got, in order."""

    def write(self, data: bytes) -> None:
        """Send ``data``; what comes meanwhile is dropped."""

    def read(self, size: int) -> bytes:
        """Receive ``size`` bytes while zeros are sent."""

class SpiDevices:
    """The SPI devices of a board; ``board.spi``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The devices: name, path, bus, chip select, and what the board's kernel says of each."""

    def open(self, device: str, **settings: Any) -> SpiDevice:
        """Open a device by resource name ("spi:0.0") or short name ("0.0").

        Settings: ``mode`` 0-3, ``speed_hz``, ``bits_per_word`` 1-32, ``lsb_first``, ``cs_high``, ``no_cs``,
        ``three_wire``, ``loop``, ``ready``, ``tx_lines`` and ``rx_lines`` 1/2/4/8, ``delay_us``, ``word_delay_us``.
        What is not given is as the board's kernel has it; closing restores that. Raises NotFound, Conflict with the
        holder, Unsupported for a setting that the controller cannot do.
        """

class Streams:
    """Streams of a board that can be routed between clients; ``board.streams``."""

    def __init__(self, link: Any) -> None: ...
    def start(self, resource: str, **settings: Any) -> SharedStream:
        """Open the stream of a serial port, beside others who have it open; routes say whose it is.

        Settings as in :meth:`SerialPorts.open`, without ``exclusive``; none: as it is open, else 9600 8N1. Raises
        NotFound; Unsupported for what has no bytes; Conflict when the port is open elsewhere for one client alone,
        or with other settings.
        """

class UsbDevice:
    """A USB device of the board that this session has for itself, taken from the drivers of the board's kernel.

    ``info`` is what the board lists of it (a new one after a reset or a change of the configuration), ``descriptors``
    its device descriptor and all configurations as bytes; :func:`myclerk_protocol.usb_descriptors.parse` reads them.

    Transfers may be many at once: those on one endpoint are done in the order sent, those on several side by side.
    All methods raise DeviceGone when it was unplugged, SessionLost when the session is over.
    """

    resource: str
    descriptors: bytes
    info: dict[str, Any]

    def __init__(self, link: Any, answer: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None:
        """Close it at the agent. Idempotent."""

    def submit_control(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        *,
        data: bytes | None = None,
        length: int | None = None,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send a control URB: ``data`` to the device, or up to ``length`` bytes from it."""

    def submit_bulk(
        self,
        endpoint: int,
        data: bytes | int,
        *,
        short_not_ok: bool = False,
        zero_packet: bool = False,
        continued: bool = False,
        after: bool = False,
        lazy: bool = False,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send a bulk URB of any length: ``data`` to the device, or that many bytes from it.

        ``short_not_ok``: fewer bytes are the error EREMOTEIO. ``zero_packet``: end what fills its last packet with an
        empty one. ``continued``: it is done only if the transfer before it on this endpoint was transferred in full.
        ``after``: it begins when that one has ended, and is cancelled if that ended badly. ``lazy``: the end of one
        that is sent in full may be told with that of another transfer, or when it is cancelled.
        """

    def submit_interrupt(
        self, endpoint: int, data: bytes | int, *, timeout: float | None = None
    ) -> UsbTransfer:
        """Send an interrupt URB: ``data`` to the device, or up to that many bytes from it; 65,536 at most."""

    def submit_isochronous(
        self,
        endpoint: int,
        packets: Sequence[int],
        data: bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> UsbTransfer:
        """Send an isochronous URB of 1 to 128 packets of these sizes; ends with an :class:`IsochronousResult`."""

    def detach(self) -> None:
        """Give it back to the board; its drivers have bound again when this returns. Idempotent."""

    def control(
        self,
        request_type: int,
        request: int,
        value: int = 0,
        index: int = 0,
        data_or_length: bytes | int = 0,
        *,
        timeout: float | None = None,
    ) -> bytes | int:
        """A control transfer: to the host (bit 7 of ``request_type``) the bytes of at most ``data_or_length``.

        To the device it sends ``data_or_length``, if bytes, and gives how many were sent. ``timeout`` is in seconds,
        None = no limit. Raises OperationTimeout; HardwareError, with ``details["errno"]`` "EPIPE" when the device
        does not know the request; in ``details`` there is what was transferred, too.
        """

    def read(self, endpoint: int, length: int, *, timeout: float | None = None) -> bytes:
        """Read from a bulk or interrupt endpoint until ``length`` bytes or a short packet came.

        ``length`` should be a multiple of the packet size; any length will do otherwise. ``timeout`` as in
        :meth:`control`. Raises as :meth:`control`.
        """

    def write(
        self, endpoint: int, data: bytes, *, timeout: float | None = None, zero_packet: bool = False
    ) -> int:
        """Write ``data`` to a bulk or interrupt endpoint; how many bytes, all of them.

        ``zero_packet`` sends an empty packet behind data that fills its last packet. Raises as :meth:`control`;
        ``details["transferred"]`` counts what was sent before.
        """

    def isochronous(
        self,
        endpoint: int,
        packets: Sequence[int],
        data: bytes | None = None,
        *,
        timeout: float | None = None,
    ) -> IsochronousResult:
        """One isochronous transfer of 1 to 128 packets of these sizes; ``data`` goes out in them.

        A packet that failed is no error: see the result. Raises OperationTimeout, HardwareError.
        """

    def poll(self, endpoint: int, length: int) -> UsbPoll:
        """Let the board ask an interrupt endpoint for up to ``length`` bytes again and again: ``for data in``.

        The board keeps transfers queued, so nothing is missed, and pushes what comes, at no round trip. Without
        anybody reading here it stops asking. The poll ends with HardwareError when the endpoint stalls.
        """

    def poll_isochronous(self, endpoint: int, packets: Sequence[int]) -> IsochronousPoll:
        """The same for an isochronous endpoint: ``for result in``, each as of :meth:`isochronous`."""

    def set_configuration(self, value: int) -> dict[str, Any]:
        """Choose a configuration by its bConfigurationValue (0: none); the new :attr:`info`.

        The board's drivers are kept off its interfaces, too. Raises BadRequest, HardwareError.
        """

    def set_interface(self, number: int, alternate: int) -> None:
        """Choose a setting of an interface; transfers on its endpoints are cancelled.

        Raises BadRequest, HardwareError.
        """

    def clear_halt(self, endpoint: int) -> None:
        """End the stall of an endpoint, at the device and at the host. Raises BadRequest, HardwareError."""

    def reset(self) -> dict[str, Any]:
        """Reset it; the new :attr:`info`. Its configuration stays, its settings are the first ones again.

        Transfers in flight are cancelled. Raises DeviceGone when it came back as another device: attach that then.
        """

    def note_setting(self, number: int, alternate: int) -> None:
        """A setting of an interface was chosen by a control transfer."""

    def endpoint(self, address: int) -> Endpoint | None:
        """What the descriptors say of an endpoint in the settings in force; None where there is none."""

class UsbDevices:
    """The USB devices of a board; ``board.usb``."""

    def __init__(self, link: Any) -> None: ...
    def list(self) -> builtins.list[dict[str, Any]]:
        """The devices but hubs: IDs, strings, speed, the interfaces with their endpoints and the board's drivers.

        ``used_for`` says what the board itself needs one for.
        """

    def attach(self, device: str) -> UsbDevice:
        """Take a device from the board's drivers, by its place ("1-1.4") or ID ("0403:6001", with ":SERIAL").

        Raises NotFound; Conflict when somebody has it; Forbidden when the board lives on it; Unsupported for a hub.
        """

    def descriptor(
        self, device: str, type: int, index: int = 0, language: int = 0, length: int | None = None
    ) -> bytes:
        """A descriptor of a device, which need not be attached; ``length`` bytes of it at most.

        Raises HardwareError with errno EPIPE when it has none of that kind.
        """

class UsbPoll:
    """An interrupt endpoint that the board polls: ``for data in poll``."""

    def __init__(self, stream: EventStream) -> None: ...
    def next(self) -> bytes | None:
        """What the device sent next, or None when the poll was stopped.

        Raises HardwareError for one transfer that failed, and the error that ended the poll: DeviceGone, or
        HardwareError with errno EPIPE when the endpoint stalled.
        """

    def __iter__(self) -> Iterator[bytes]: ...
    def stop(self) -> None:
        """Stop polling. Idempotent."""

def pair(
    invitation: str,
    *,
    name: str | None = None,
    boards: KnownBoards | None = None,
    timeout: float = 15.0,
    wait: float = 600.0,
    on_pending: Callable[[str], None] = ...,
) -> KnownBoard:
    """Pair the board that ``myclerk-agent invite`` made the link for; it is remembered under ``name``.

    Without a name the link's host gives it. A link without a PIN asks the board's administrators, who have
    ``wait`` seconds to decide; ``on_pending`` gets the witness (34 characters) by which they know whom they
    admit. Who asks again later goes on waiting, for a day. Raises BadRequest for a bad link or name,
    Unauthorized for a PIN that is wrong, spent or expired and where an administrator says no, AgentNotTrusted
    when the agent is not the one of the link, ConnectionLost when nobody decided in time.
    """
