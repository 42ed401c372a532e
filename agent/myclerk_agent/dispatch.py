"""From request to driver and back: the one place where payload, access, lock, audit and errors are decided.

The protocol's session has already checked authentication, minimum tier and that the operation is known.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from myclerk_drivers.base import Access, Driver, Handle, Resource, Serving, Stream, served_by
from myclerk_protocol import payloads
from myclerk_protocol.events import Request
from myclerk_protocol.operations import Operation, Registry
from myclerk_protocol.schema import MapType, Schema
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    InternalError,
    NotFound,
    OperationError,
    Unsupported,
    error_fields,
)

from .audit import Audit
from .resources import Holdings, ResourceTable
from .streams import AgentStream
from .workers import Lane, Worker

log = logging.getLogger("myclerk.dispatch")

GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN})
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
    target: str
    name: str
    method: Served | None
    driver: Driver | None
    request: MapType
    response: MapType
    handle_type: type[Handle] | None = None
    streams: bool = False
    opens: bool = False
    closes: bool = False


    @property
    def shared(self) -> bool:
        """Whether what this operation opens may be open several times."""
        return self.driver is not None and any(handle.shared for handle in self.driver.handles)


class Dispatcher:
    """Serves requests. ``bind`` in drivers first; ``minimum_tiers`` (operation name -> tier) may raise tiers."""

    def __init__(
        self,
        registry: Registry,
        schema: Schema,
        audit: Audit,
        minimum_tiers: Mapping[str, int] | None = None,
    ) -> None:
        self._registry = registry
        self._schema = schema
        self._audit = audit
        self._minimum_tiers = dict(minimum_tiers or {})
        self._bindings: dict[int, Binding] = {}
        self._lanes: dict[str, Lane] = {}
        self.drivers: dict[str, Driver] = {}
        self.table = ResourceTable(self._parent_of, lambda: asyncio.get_running_loop().time())

    # -- binding -------------------------------------------------------------------------------------------

    def bind_driver(self, driver: Driver) -> None:
        """Serve a driver's operations. Raises ValueError when one is unknown or served already."""
        self.drivers[driver.kind] = driver
        for operation, (name, serving) in served_by(type(driver)).items():
            target = "resource" if "resource" in self._request_keys(operation) else "driver"
            self._bind(operation, serving, target, name, getattr(driver, name), driver)
        for handle_type in driver.handles:
            for operation, (name, serving) in served_by(handle_type).items():
                self._bind(operation, serving, "handle", name, None, driver, handle_type)

    def bind_system(self, system: object) -> None:
        """Serve the agent's own operations: methods of ``system``, which get the holdings first."""
        for operation, (name, serving) in served_by(type(system)).items():
            self._bind(operation, serving, "system", name, getattr(system, name), None)

    def _bind(
        self,
        operation_name: str,
        serving: Serving,
        target: str,
        name: str,
        method: Served | None,
        driver: Driver | None,
        handle_type: type[Handle] | None = None,
    ) -> None:
        operation = self._registry.by_name(operation_name)
        request = self._schema.request(operation_name)
        response = self._schema.response(operation_name)
        if operation.code in self._bindings:
            raise ValueError(f"{operation_name} is served twice")
        if request is None or response is None:
            raise ValueError(f"{operation_name} has no CDDL rules for its request and response")
        self._bindings[operation.code] = Binding(
            operation,
            serving,
            target,
            name,
            method,
            driver,
            request,
            response,
            handle_type,
            streams="credit_to" in {field.name for field in request.fields} and target != "system",
            opens=target == "resource" and "handle" in {field.name for field in response.fields},
            closes=operation_name.endswith("_CLOSE") and target == "handle",
        )

    def _request_keys(self, operation_name: str) -> set[str]:
        rule = self._schema.request(operation_name)
        return set() if rule is None else {field.name for field in rule.fields}

    @property
    def served(self) -> dict[str, Binding]:
        """Every operation that is served: name -> binding."""
        return {binding.operation.name: binding for binding in self._bindings.values()}

    # -- resources -----------------------------------------------------------------------------------------

    def resources(self) -> list[Resource]:
        """Everything that all drivers offer now."""
        return [resource for driver in self.drivers.values() for resource in driver.resources()]

    def find(self, name: str, driver: Driver | None = None) -> Resource:
        """The resource of that name (any of its names). Raises NotFound, BadRequest for another kind."""
        kind = name.partition(":")[0]
        owner = self.drivers.get(kind)
        if driver is not None and owner is not driver:
            raise BadRequest(f"`resource` must name a {driver.kind}: resource, not {name!r}", key="resource")
        found = owner.find(name) if owner is not None else None
        if found is None:
            raise NotFound(f"there is no {name} here; DEVICE_LIST shows what there is", key="resource")
        return found

    def _parent_of(self, name: str) -> str | None:
        driver = self.drivers.get(name.partition(":")[0])
        resource = driver.find(name) if driver is not None else None
        return resource.parent if resource is not None else None

    # -- serving -------------------------------------------------------------------------------------------

    def handle(self, holdings: Holdings, request: Request) -> None:
        """Serve one request; its answer goes out through the session's record, now or later."""
        binding = self._bindings.get(request.operation.code)
        try:
            if binding is None:
                raise Unsupported(f"{request.operation.name} is not served by this agent")
            self._serve(holdings, request, binding)
        except Exception as error:
            self._fail(holdings, request, binding, None, error)

    def _serve(self, holdings: Holdings, request: Request, binding: Binding) -> None:
        tiers = self._minimum_tiers
        if tiers and request.tier < tiers.get(binding.operation.name, 0):
            tier = tiers[binding.operation.name]
            raise Forbidden(
                f"{binding.operation.name} needs tier {tier} or above on this agent", required_tier=tier
            )
        fields = binding.request.decode(request.payload)
        target = binding.target
        if target == "handle":
            handle = holdings.handle(fields.pop("handle"))
            if not isinstance(handle, binding.handle_type or Handle):
                raise BadRequest(
                    f"{binding.operation.name} does not fit {handle.resource.name}", key="handle"
                )
            resource: Resource | None = handle.resource
            method = getattr(handle, binding.name)
        else:
            handle, resource, method = None, None, binding.method
            if target == "resource":
                resource = self.find(fields.pop("resource"), binding.driver)
                method = partial(binding.method or _nothing, resource)
            elif target == "system":
                method = partial(binding.method or _nothing, holdings)
        if not holdings.rights.access.allows(binding.serving.access):
            raise Forbidden(
                f"{binding.operation.name} needs {binding.serving.access.name.lower()} access"
                + (f" to {resource.name}" if resource else "")
            )
        if resource is not None:
            if self.table.locked and binding.serving.access is not Access.READ:
                self.table.check_lock(holdings, resource.name)
            if binding.opens and not binding.shared:  # says who holds it, where the kernel would say EBUSY
                self.table.check_claims(holdings, resource.name)
            if self._lanes and (lane := self._lanes.get(resource.name)) is not None and lane.busy:
                lane.wait(partial(self._start, holdings, request, binding, resource, handle, method, fields))
                return
        self._start(holdings, request, binding, resource, handle, method, fields)

    def _start(
        self,
        holdings: Holdings,
        request: Request,
        binding: Binding,
        resource: Resource | None,
        handle: Handle | None,
        method: Served,
        fields: dict[str, Any],
    ) -> None:
        try:
            stream_options = _take_stream_options(fields, request) if binding.streams else None
            call = partial(method, **fields)
            finish = partial(self._finish, holdings, request, binding, resource, handle, stream_options)
            if binding.serving.slow:
                self._lane(resource.name if resource else binding.operation.family).submit(
                    call, partial(self._settle, holdings, request, binding, resource, finish)
                )
                return
            result = call()
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(result)
                holdings.tasks.add(task)
                task.add_done_callback(partial(self._settle, holdings, request, binding, resource, finish))
                return
            finish(result)
        except Exception as error:
            self._fail(holdings, request, binding, resource, error)

    def _settle(
        self,
        holdings: Holdings,
        request: Request,
        binding: Binding,
        resource: Resource | None,
        finish: Callable[[Any], None],
        future: asyncio.Future[Any],
    ) -> None:
        holdings.tasks.discard(future)
        try:
            if future.cancelled():
                raise Conflict("the session ended before this was done")
            finish(future.result())
        except Exception as error:
            self._fail(holdings, request, binding, resource, error)

    def _finish(
        self,
        holdings: Holdings,
        request: Request,
        binding: Binding,
        resource: Resource | None,
        handle: Handle | None,
        stream_options: tuple[int, bool] | None,
        result: Any,
    ) -> None:
        stream = None
        if isinstance(result, Handle):
            number = holdings.add_handle(result)
            result = {"handle": number, **result.describe()}
        elif isinstance(result, Stream):
            credit_to, compress = stream_options or (0, False)
            stream = AgentStream(
                holdings.record,
                request.request_id,
                request.tier,
                result,
                handle=handle,
                credit_to=credit_to,
                compress=compress,
            )
            if request.version == 0 or request.request_id == 0:
                stream.close()
                raise Unsupported("a stream needs a version 1 request with a Request ID")
            holdings.add_stream(request.request_id, stream)
            result = None
        if binding.closes and handle is not None:
            holdings.close_handle(next(n for n, h in holdings.handles.items() if h is handle))
        if binding.serving.audit:
            self._record(holdings, binding, resource, "ok")
        holdings.record.respond(request, binding.response.encode(result) if result else b"")
        if stream is not None:
            stream.start()

    # -- failing -------------------------------------------------------------------------------------------

    def _fail(
        self,
        holdings: Holdings,
        request: Request,
        binding: Binding | None,
        resource: Resource | None,
        error: Exception,
    ) -> None:
        failure = translate(error, resource)
        if isinstance(failure, InternalError):
            log.error("%s failed unexpectedly", request.operation.name, exc_info=error)
        if binding is not None and (binding.serving.audit or isinstance(failure, Forbidden)):
            self._record(holdings, binding, resource, failure.status.name.lower())
        if request.request_id or request.version == 0:
            holdings.record.respond(request, payloads.pack(error_fields(failure)), failed=True)

    def _record(self, holdings: Holdings, binding: Binding, resource: Resource | None, outcome: str) -> None:
        self._audit.record(
            holdings.record.device or holdings.rights.description,
            binding.operation.name,
            resource.name if resource else "",
            outcome,
        )

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(Worker(asyncio.get_running_loop(), f"myclerk {name}"))
        return lane

    def close(self) -> None:
        """Close drivers and workers; every session has released what it held."""
        for driver in self.drivers.values():
            driver.close()
        for lane in self._lanes.values():
            lane.close()


def translate(error: BaseException, resource: Resource | None) -> OperationError:
    """The status that an exception becomes: the one boundary where kernel errors turn into the wire's."""
    if isinstance(error, OperationError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        name = errno.errorcode.get(error.errno, str(error.errno))
        where = resource.name if resource else (error.filename or "the device")
        kind = DeviceGone if error.errno in GONE else HardwareError
        return kind(f"{where}: {error.strerror or name}", errno=name)
    return InternalError("the agent met an unexpected error; its log says more")


def _take_stream_options(fields: dict[str, Any], request: Request) -> tuple[int, bool]:
    return fields.pop("credit_to", 0), fields.pop("compress", False)


def _nothing(*args: Any, **kwargs: Any) -> Awaitable[None] | None:
    return None
