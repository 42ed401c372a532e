"""What a driver is: resources, handles, streams, and plain methods marked with the operation they serve.

A driver is a class found by entry point (group ``myclerk.drivers``). Operations that name a resource, and
operations that name nothing (a list), are methods of the driver; operations that name an open handle are
methods of the :class:`Handle` that the driver's open operation returned. Each method is marked with
:func:`serves`. It gets the request's fields as keyword arguments (wire name with ``-`` as ``_``, already
validated against the CDDL; absent optional fields are not passed, so give them defaults) and returns the
response's fields as a mapping, or None for an empty response. The field ``resource`` arrives as the first
positional argument, the :class:`Resource` that was found by that name.

Three styles, told by how the method is written:

* plain ``def``: quick (an ioctl of microseconds); runs inline on the event loop.
* plain ``def`` with ``slow=True``: runs on the resource's own worker thread; later requests on the same
  resource wait behind it, other resources do not.
* ``async def``: runs as a task on the event loop; started in the order sent, may overlap later requests.
  A plain method may also return an awaitable, when it can mostly answer at once and must wait at times.

A method that opens something returns a :class:`Handle`; a method that opens a stream returns a
:class:`Stream`. The agent numbers handles, owns them for the session and releases them exactly once.
Failures are raised as :mod:`myclerk_protocol.status` errors; an ``OSError`` that escapes becomes
HARDWARE_ERROR (ENODEV, ENXIO and ESHUTDOWN: DEVICE_GONE) with its errno.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from myclerk_protocol.status import Unsupported

if TYPE_CHECKING:
    from myclerk_protocol.operations import Operation

    from .context import DriverContext, StreamSink

SAFE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
Method = TypeVar("Method", bound=Callable[..., Any])


class Access(IntEnum):
    """Access modes of draft section 6.3.4."""

    NONE = 0
    READ = 1
    WRITE = 2
    READ_WRITE = 3
    EXCLUSIVE = 4

    def allows(self, needed: Access) -> bool:
        """Whether a holder of this mode may do what needs ``needed``."""
        if needed is Access.READ:
            return self in (Access.READ, Access.READ_WRITE, Access.EXCLUSIVE)
        if needed is Access.WRITE:
            return self >= Access.WRITE
        return self >= needed


class StreamType(IntEnum):
    """Stream types of draft section 6.3.2."""

    VIDEO = 1
    AUDIO = 2
    HID = 3
    SERIAL = 4


def resource_part(text: str) -> str:
    """One part of a resource name; bytes outside ``[A-Za-z0-9._-]`` become %XX (docs/protocol.md)."""
    return "".join(chr(b) if chr(b) in SAFE_CHARACTERS else f"%{b:02X}" for b in text.encode())


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that can be used and to which access is granted: a port, a chip, a bus, a device.

    ``name`` is the canonical name, kind before the first colon (``serial:ttyUSB0``); ``aliases`` are its
    other names; ``parent`` is the name of what it hangs on in the kernel's tree, or None; ``properties``
    are the fields that the driver's list operation shows (Python names).
    """

    name: str
    description: str = ""
    aliases: tuple[str, ...] = ()
    parent: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The part before the first colon, ``serial`` in ``serial:ttyUSB0``."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Serving:
    """What :func:`serves` notes on a method."""

    operation: str
    access: Access
    slow: bool
    audit: bool


def serves(
    operation: str, *, access: Access, slow: bool = False, audit: bool = False
) -> Callable[[Method], Method]:
    """Mark a method as the one that serves ``operation`` (its registry name, "SERIAL_PORT_OPEN").

    ``access`` is what the client needs on the resource; ``slow`` puts a plain method on the resource's
    worker thread; ``audit`` writes each call to the audit log (opens, configuration; not data).
    """

    def mark(method: Method) -> Method:
        if slow and inspect.iscoroutinefunction(method):
            raise TypeError(f"{operation}: an async method is never slow, it runs on the event loop")
        method.__myclerk__ = Serving(operation, access, slow, audit)  # type: ignore[attr-defined]
        return method

    return mark


def served_by(cls: type) -> dict[str, tuple[str, Serving]]:
    """The operations that methods of ``cls`` serve: operation name -> (method name, marking)."""
    found: dict[str, tuple[str, Serving]] = {}
    for name, member in inspect.getmembers(cls, callable):
        marking = getattr(member, "__myclerk__", None)
        if isinstance(marking, Serving):
            found[marking.operation] = (name, marking)
    return found


class Handle(ABC):
    """An open resource, owned by one session. The request field ``handle`` names it.

    ``shared`` handles may coexist with others on the same resource; the default excludes other sessions.
    ``parts`` is what it holds of ``resource`` where that is not all of it: some lines of a GPIO chip.
    """

    shared: ClassVar[bool] = False

    def __init__(self, resource: Resource, parts: Iterable[Resource] = ()) -> None:
        self.resource = resource
        self.parts = tuple(parts) or (resource,)

    def describe(self) -> Mapping[str, Any]:
        """Fields of the response to the open operation beside ``handle``."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Release the kernel's object and put it into its safe state. Idempotent; must not block."""


class Stream(ABC):
    """A source of pushes. The agent calls :meth:`start` once, then pause/resume as credit comes and goes.

    The request fields ``credit-to`` and ``compress`` of the operation that opens it are the agent's business
    and are not passed to the driver's method. ``pushes`` is the operation that its pushes bear, where the
    draft has one for these events; its push rule must have the fields of ``stream-data-push``. ``window`` is
    how many events the agent keeps at most until the client has consumed them; fewer where one is large.
    ``is_bytes`` tells byte streams from event streams.
    """

    pushes: ClassVar[str] = "STREAM_DATA"
    window: ClassVar[int] = 8192
    is_bytes: bool = False

    def describe(self) -> Mapping[str, Any]:
        """Fields of the response to the operation that opens it."""
        return {}

    @abstractmethod
    def start(self, sink: StreamSink) -> None:
        """Begin. Push through ``sink``, never more than ``sink.credit`` where the kernel holds the data."""

    def resume(self) -> None:  # noqa: B027 (optional)
        """Credit is there again: go on reading."""

    def pause(self) -> None:  # noqa: B027 (optional)
        """No credit is left: stop reading where the kernel can hold the data."""

    @abstractmethod
    def close(self) -> None:
        """Stop for good. Idempotent; called exactly once by the agent at STREAM_STOP or release."""


class StreamHandle(Handle):
    """An open resource whose stream STREAM_START passes between sessions (docs/streams.md).

    The agent opens one by :meth:`Driver.open_stream_handle` for the first session that wants the stream, and
    closes it behind the last. ``options`` are what a session asked for in STREAM_START, by Python names.
    """

    @abstractmethod
    def open_stream(self) -> Stream:
        """Its stream; asked for once."""

    def describe_stream(self) -> Mapping[str, Any]:
        """Fields of the response to STREAM_START."""
        return {}

    def admit(self, options: Mapping[str, Any]) -> None:
        """A further session wants the stream. Raises Conflict if ``options`` are not what is in force."""

    def pass_to(self, options: Mapping[str, Any]) -> None:
        """What the stream gives from now on goes to the session with these ``options``. Must not block."""

    def write_data(self, data: bytes) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        """Send bytes the other way, for the session that has the stream. Raises Unsupported."""
        raise Unsupported(f"{self.resource.name} takes no bytes")

    def write_events(self, events: Sequence[Sequence[int]]) -> None:
        """Send events the other way, for the session that has the stream. Raises Unsupported."""
        raise Unsupported(f"{self.resource.name} takes no events")


class Driver(ABC):
    """One bus. Built once at agent start with its context and its settings from the TOML.

    ``kind`` is the prefix of its resources' names. ``handles`` lists the handle classes it opens. A driver
    from a third party brings ``operations`` (rows in the vendor range 0xF000-0xFFFE) and ``schema`` (CDDL
    text with their payloads) along. ``settings`` documents every setting: name -> (default, sentence).
    ``stream_type`` is what STREAM_START opens on its resources, None if nothing.
    """

    kind: ClassVar[str]
    handles: ClassVar[Sequence[type[Handle]]] = ()
    operations: ClassVar[Sequence[Operation]] = ()
    schema: ClassVar[str] = ""
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {}
    stream_type: ClassVar[StreamType | None] = None

    def __init__(self, context: DriverContext) -> None:
        self.context = context

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> Driver:
        """This driver on simulated hardware, as its ``table`` in the description of a board has it.

        Override it if your bus can be simulated (docs/simulation.md). Raises ValueError with a sentence that names
        the key that is wrong.
        """
        raise ValueError(f"the {cls.kind} driver has no simulation")

    @abstractmethod
    def resources(self) -> Iterable[Resource]:
        """What is there now. Cheap enough to be asked for each list and each name that is unknown."""

    def find(self, name: str) -> Resource | None:
        """The resource that ``name`` (canonical or alias) means, or None."""
        return next((r for r in self.resources() if name == r.name or name in r.aliases), None)

    def parts_of(self, resource: Resource, fields: Mapping[str, Any]) -> Sequence[Resource]:
        """What a request with these ``fields`` uses of ``resource``: locks and claims are checked on that.

        Override it where requests name parts of a resource; raise as the operation itself would.
        """
        return (resource,)

    def whole_of(self, resource: Resource) -> str | None:
        """The name of what a resource is a part of, so that the rules of access for that are for it, too.

        By default what stands before the last ``/`` of its name, None where there is none.
        """
        return resource.name.rpartition("/")[0] or None

    def parts(self, resource: Resource) -> Iterable[Resource]:
        """All parts of a resource that have names of their own: who uses all of it needs access to each.

        Override it, cheaply, where :meth:`whole_of` names something for some of your resources.
        """
        return ()

    def stream_access(self, options: Mapping[str, Any]) -> Access:
        """What a client needs on a resource to get its stream with these ``options``."""
        return Access.READ

    def open_stream_handle(self, resource: Resource, options: Mapping[str, Any]) -> StreamHandle:
        """Open ``resource`` for its stream; runs on the resource's worker thread. Only with a ``stream_type``."""
        raise Unsupported(f"{resource.name} has no stream")

    def close(self) -> None:  # noqa: B027 (optional)
        """Release what the driver itself holds; all handles are closed already."""
