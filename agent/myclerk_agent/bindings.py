"""Operations with the methods that serve them, and one request on its way through such a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from myclerk_drivers.base import Access, Driver, Handle, Resource, Serving, served_by
from myclerk_protocol.events import Request
from myclerk_protocol.operations import Operation, Registry
from myclerk_protocol.schema import MapType, Schema

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


class Binder:
    """Finds the methods that serve operations. ``minimum_tiers`` (operation name -> tier) may raise tiers.

    Raises ValueError for an operation without CDDL rules, LocalError for an unknown one.
    """

    def __init__(self, registry: Registry, schema: Schema, minimum_tiers: Mapping[str, int]) -> None:
        self._registry = registry
        self._schema = schema
        self._minimum_tiers = minimum_tiers

    def of_driver(self, driver: Driver) -> Iterator[Binding]:
        """The operations of a driver and of its handles."""
        for operation, (name, serving) in served_by(type(driver)).items():
            target = "resource" if "resource" in self._request_keys(operation) else "driver"
            yield self._binding(operation, serving, target, name, getattr(driver, name), driver)
        for handle_type in driver.handles:
            inherited = {
                name for base in handle_type.__mro__[1:] if base in driver.handles for name in served_by(base)
            }
            for operation, (name, serving) in served_by(handle_type).items():
                if operation in inherited:  # bound for all handles of that base class
                    continue
                method = getattr(handle_type, name)
                yield self._binding(operation, serving, "handle", name, method, driver, handle_type)

    def of_system(self, system: object) -> Iterator[Binding]:
        """The agent's own operations."""
        for operation, (name, serving) in served_by(type(system)).items():
            yield self._binding(operation, serving, "system", name, getattr(system, name), None)

    def _binding(
        self,
        operation_name: str,
        serving: Serving,
        target: str,
        name: str,
        method: Served,
        driver: Driver | None,
        handle_type: type[Any] = Handle,
    ) -> Binding:
        operation = self._registry.by_name(operation_name)
        request = self._schema.request(operation_name)
        response = self._schema.response(operation_name)
        if request is None or response is None:
            raise ValueError(f"{operation_name} has no CDDL rules for its request and response")
        return Binding(
            operation,
            serving,
            serving.access,
            self._minimum_tiers.get(operation_name, 0),
            target,
            name,
            method,
            driver,
            request,
            response,
            handle_type,
            streams="credit_to" in self._request_keys(operation_name)
            and operation_name != "STREAM_CONFIGURE",
            opens=target == "resource" and "handle" in {field.name for field in response.fields},
            closes=operation_name.endswith(("_CLOSE", "_RELEASE", "_DETACH")) and target == "handle",
        )

    def _request_keys(self, operation_name: str) -> set[str]:
        rule = self._schema.request(operation_name)
        return set() if rule is None else {field.name for field in rule.fields}


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
