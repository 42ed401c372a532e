"""Written by ``python -m myclerk_client.stubs``; do not edit."""

import builtins
from collections.abc import Iterable, Iterator, Mapping
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
    "CanBus",
    "CanError",
    "CanFilter",
    "CanInterfaces",
    "Conflict",
    "ConnectionLost",
    "DeviceGone",
    "EventStream",
    "Forbidden",
    "Frame",
    "Gpio",
    "HardwareError",
    "I2cBus",
    "I2cBuses",
    "I2cMessage",
    "InternalError",
    "InvalidSession",
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
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "SpiDevice",
    "SpiDevices",
    "SpiSegment",
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
    can: CanInterfaces
    gpio: Gpio
    onewire: OneWire
    i2c: I2cBuses
    serial: SerialPorts
    spi: SpiDevices

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

def pair(
    invitation: str, *, name: str | None = None, boards: KnownBoards | None = None, timeout: float = 15.0
) -> KnownBoard:
    """Pair the board that ``myclerk-agent invite`` made the link for; it is remembered under ``name``.

    Without a name the link's host gives it. Raises BadRequest for a bad link or name, Unauthorized for a PIN
    that is wrong, spent or expired, AgentNotTrusted when the agent is not the one of the link.
    """
