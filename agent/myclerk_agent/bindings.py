"""An operation with the method that serves it, and one request on its way through that method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from myclerk_drivers.base import Access, Driver, Handle, Resource, Serving
from myclerk_protocol.events import Request
from myclerk_protocol.operations import Operation
from myclerk_protocol.schema import MapType

from .about import about
from .resources import Holdings

Served = Callable[..., Any]


@dataclass(slots=True)
class Binding:
    """One operation with the method that serves it.

    ``target`` says what the method belongs to: "handle" (the open handle that the request names), "resource"
    (a driver's, naming a resource), "driver" (naming nothing) or "system" (the agent's own; gets the
    session's holdings first).
    """

    operation: Operation
    serving: Serving
    access: Access
    minimum_tier: int
    target: str
    name: str
    method: Served
    driver: Driver | None
    request: MapType
    response: MapType
    handle_type: type[Any] = Handle
    streams: bool = False
    opens: bool = False
    closes: bool = False
    simple: bool = False
    need: int = 0
    kind: str | None = None

    def __post_init__(self) -> None:
        self.need = 1 << self.access
        self.kind = self.driver.kind if self.driver is not None else None
        special = self.serving.slow or self.serving.audit or self.streams or self.opens or self.closes
        self.simple = not special and self.target != "driver"

    @property
    def shared(self) -> bool:
        """Whether what this operation opens may be open several times."""
        return self.driver is not None and any(handle.shared for handle in self.driver.handles)

    @property
    def takes(self) -> bool:
        """Whether it keeps others off the resource, and so off what hangs on that."""
        return self.opens and not self.shared


@dataclass(slots=True)
class Call:
    """One request being served, with everything that its end needs."""

    holdings: Holdings
    request: Request
    binding: Binding
    resource: Resource | None
    handle: Handle | None
    method: Served
    fields: dict[str, Any]
    credit_to: int = 0
    compress: bool = False
    waited: bool = False

    @property
    def target(self) -> str:
        """What it is done to, for errors and the audit log."""
        return about(self.resource, self.fields)

    @property
    def size(self) -> int:
        """Bytes of its payload."""
        return len(self.request.payload)
