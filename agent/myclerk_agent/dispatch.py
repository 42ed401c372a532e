"""From request to driver and back: the one place where payload, access, lock, audit and errors are decided.

The protocol's session has already checked authentication, minimum tier and that the operation is known.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from myclerk_drivers.base import Access, Driver, Handle, Resource, Stream
from myclerk_protocol import payloads
from myclerk_protocol.events import Request
from myclerk_protocol.operations import Registry
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    Forbidden,
    InternalError,
    NotFound,
    OperationError,
    TooMany,
    Unsupported,
    error_fields,
)

from .about import about
from .access import access_name
from .audit import Audit, origin
from .bindings import Binder, Binding, Call
from .faults import translate
from .inventory import Inventory, Unseen, absent
from .permission import readable, require
from .resources import Holdings
from .streams import AgentStream
from .table import ResourceTable
from .workers import Lane, Worker

log = logging.getLogger("myclerk.dispatch")

T = TypeVar("T")

__all__ = ["Binding", "Dispatcher"]


class Dispatcher:
    """Serves requests. ``bind`` in drivers first; ``minimum_tiers`` (operation name -> tier) may raise tiers."""

    def __init__(
        self,
        registry: Registry,
        schema: Schema,
        audit: Audit,
        minimum_tiers: Mapping[str, int] | None = None,
    ) -> None:
        self._binder = Binder(registry, schema, minimum_tiers or {})
        self._audit = audit
        self._bindings: dict[int, Binding] = {}
        self._lanes: dict[str, Lane] = {}
        self.inventory = Inventory()
        self.drivers = self.inventory.drivers
        self.table = ResourceTable(self.inventory.parent_of)

    # -- binding -------------------------------------------------------------------------------------------

    def bind_driver(self, driver: Driver) -> None:
        """Serve a driver's operations, all or none.

        Raises ValueError when another driver has its kind, when one of its operations is served already or
        has no CDDL rules; LocalError when one is unknown.
        """
        if driver.kind in self.drivers:
            raise ValueError(f"another driver serves {driver.kind}: resources")
        self._bind(self._binder.of_driver(driver))
        self.drivers[driver.kind] = driver

    def bind_system(self, system: object) -> None:
        """Serve the agent's own operations: methods of ``system``, which get the holdings first. Raises ValueError."""
        self._bind(self._binder.of_system(system))

    def _bind(self, bindings: Iterable[Binding]) -> None:
        found: dict[int, Binding] = {}
        for binding in bindings:
            code = binding.operation.code
            if code in self._bindings or code in found:
                raise ValueError(f"{binding.operation.name} is served twice")
            found[code] = binding
        self._bindings |= found

    @property
    def served(self) -> dict[str, Binding]:
        """Every operation that is served: name -> binding."""
        return {binding.operation.name: binding for binding in self._bindings.values()}

    # -- resources -----------------------------------------------------------------------------------------

    def resources(self) -> list[Resource]:
        """Everything that all drivers offer now."""
        return list(self.inventory)

    def find(self, name: str, driver: Driver | None = None) -> Resource:
        """The resource of that name (any of its names). Raises NotFound, BadRequest for another kind."""
        return self.inventory.find(name, driver)

    def permitted(self, holdings: Holdings, name: str, need: Access, what: str) -> Resource:
        """The resource of that name, if the session may do ``what`` with it, which needs ``need``.

        Raises as :meth:`find`; Forbidden, or NotFound where the session must not know that it is there.
        """
        resource = self.find(name)
        self.require(holdings, (resource,), need, what, name)
        return resource

    def require(
        self,
        holdings: Holdings,
        parts: Sequence[Resource],
        need: Access,
        what: str,
        name: str,
        *,
        below: bool = False,
    ) -> None:
        """:func:`.permission.require` for a session."""
        require(self.inventory, holdings.rights, parts, need, what, name, below=below)

    # -- serving -------------------------------------------------------------------------------------------

    def handle(self, holdings: Holdings, request: Request) -> None:
        """Serve one request; its answer goes out through the session's record, now or later."""
        binding = self._bindings.get(request.operation.code)
        resource: Resource | None = None
        fields: dict[str, Any] = {}
        try:
            if binding is None:
                raise Unsupported(f"{request.operation.name} is not served by this agent")
            if request.tier < binding.minimum_tier:
                raise _tier_too_low(binding)
            fields = binding.request.decode(request.payload)
            target = binding.target
            if target == "handle":
                number = fields.pop("handle")
                handle = holdings.handle(number)
                resource = handle.resource
                if not binding.need & holdings.granted[number]:
                    self.require(
                        holdings, handle.parts, binding.access, binding.operation.name, resource.name
                    )
                if not isinstance(handle, binding.handle_type):
                    raise BadRequest(f"{binding.operation.name} does not fit {resource.name}", key="handle")
                method = getattr(handle, binding.name)
            else:
                handle, method = None, binding.method
                if target == "resource":
                    name = fields.pop("resource")
                    resource = self.inventory.find(name, binding.driver)
                    method = partial(method, resource)
                    same = holdings.rights.of_kind(resource.kind)
                    if same is None or not binding.need & same or binding.takes:
                        self._check_access(holdings, binding, resource, fields, name)
                else:
                    if not holdings.rights.at_large(binding.access, binding.kind):
                        raise _nothing_granted(binding)
                    if target == "system":
                        method = partial(method, holdings)
            if resource is not None and self._waits(holdings, binding, resource, handle, fields):
                call = Call(holdings, request, binding, resource, handle, method, fields)
                self._wait(call, self._lanes[resource.name])
            elif binding.simple:
                result = method(**fields)
                if result is None or type(result) is dict:
                    holdings.record.respond(request, binding.response.encode(result) if result else b"")
                else:
                    self._returned(Call(holdings, request, binding, resource, handle, method, fields), result)
            else:
                self._start(Call(holdings, request, binding, resource, handle, method, fields))
        except Exception as error:
            self._fail(holdings, request, binding, about(resource, fields), error)

    def _check_access(
        self,
        holdings: Holdings,
        binding: Binding,
        resource: Resource,
        fields: Mapping[str, Any],
        name: str,
    ) -> None:
        """Raise Forbidden, or NotFound, unless the session may do this with what it uses of a resource."""
        try:
            parts = _parts(binding, resource, None, fields)
        except OperationError:
            if not holdings.rights.sees(resource):  # what is wrong would tell that it is there
                raise absent(name, Unseen) from None
            raise
        self.require(holdings, parts, binding.access, binding.operation.name, name, below=binding.takes)

    def _waits(
        self,
        holdings: Holdings,
        binding: Binding,
        resource: Resource,
        handle: Handle | None,
        fields: Mapping[str, Any],
    ) -> bool:
        """Check locks and claims on what the request uses; whether a slow request runs on its resource."""
        check_lock = self.table.locked and (binding.access is not Access.READ or self.table.secluded)
        check_claims = binding.opens and not binding.shared
        if check_lock or check_claims:
            for part in _parts(binding, resource, handle, fields):
                if check_lock:
                    self.table.check_lock(holdings, part, reading=binding.access is Access.READ)
                if check_claims:  # says who holds it, where the kernel would say EBUSY
                    self.table.check_claims(holdings, part)
        return bool(self._lanes) and (lane := self._lanes.get(resource.name)) is not None and lane.busy

    def _wait(self, call: Call, lane: Lane) -> None:
        call.holdings.wait(call.size)
        call.waited = True
        try:
            lane.wait(partial(self._start, call))
        except TooMany:
            call.holdings.waited(call.size)
            raise

    def _start(self, call: Call) -> None:
        binding = call.binding
        if call.waited:
            call.holdings.waited(call.size)
        try:
            if call.waited:  # what was judged when it arrived may be otherwise now
                self._judge_again(call)
            if binding.streams:
                call.credit_to = call.fields.pop("credit_to", 0)
                call.compress = call.fields.pop("compress", False)
            if binding.serving.slow:
                lane = self._lane(call.resource.name if call.resource else binding.operation.family)
                lane.submit(partial(call.method, **call.fields), partial(self._settle, call))
            else:
                self._returned(call, call.method(**call.fields))
        except Exception as error:
            self._fail(call.holdings, call.request, binding, call.target, error)

    def _judge_again(self, call: Call) -> None:
        holdings, handle = call.holdings, call.handle
        if holdings.released:
            raise Conflict("the session ended before this was done")
        _check_held(call)
        binding, resource = call.binding, call.resource
        if resource is None:
            return
        if handle is not None:
            self.require(holdings, handle.parts, binding.access, binding.operation.name, resource.name)
        else:
            self._check_access(holdings, binding, resource, call.fields, resource.name)
        self._waits(holdings, binding, resource, handle, call.fields)

    def _returned(self, call: Call, result: Any) -> None:
        """A method has returned: finish now, or when what it returned has been awaited."""
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(result)
            call.holdings.add_task(task, call.size)
            task.add_done_callback(partial(self._settle, call))
        else:
            self._finish(call, result)

    def _settle(self, call: Call, future: asyncio.Future[Any]) -> None:
        call.holdings.end_task(future, call.size)
        try:
            if future.cancelled():
                raise Conflict("the session ended before this was done")
            self._finish(call, future.result())
        except Exception as error:
            lost = call.holdings.taken(call.handle) if call.handle is not None else None
            self._fail(call.holdings, call.request, call.binding, call.target, lost or error)

    def _finish(self, call: Call, result: Any) -> None:
        holdings, request, binding = call.holdings, call.request, call.binding
        stream = None
        target = call.target if call.handle is None else _held_by(call.handle)
        if isinstance(result, Handle):
            target = _held_by(result)
            number = holdings.add_handle(result, binding.access)
            result = {"handle": number, **result.describe()}
        elif isinstance(result, Stream):
            stream = self._open_stream(call, result)
            result = result.describe()
        elif binding.driver is not None and binding.target == "driver":
            result = readable(holdings.rights, binding.driver, result)
        if binding.closes and call.handle is not None:
            holdings.close_handle(next((n for n, h in holdings.handles.items() if h is call.handle), 0))
        if binding.serving.audit:
            self._record(holdings, binding, target, "ok")
        holdings.record.respond(request, binding.response.encode(result) if result else b"")
        if stream is not None:
            stream.start()

    def _open_stream(self, call: Call, source: Stream) -> AgentStream:
        try:
            _check_held(call)
        except OperationError:
            source.close()
            raise
        request = call.request
        stream = AgentStream(
            call.holdings.record,
            request.request_id,
            request.tier,
            source,
            handle=call.handle,
            credit_to=call.credit_to,
            compress=call.compress,
        )
        if call.resource is not None:
            stream.parts = tuple(_parts(call.binding, call.resource, call.handle, call.fields))
            stream.access = call.binding.access
        if request.version == 0 or request.request_id == 0:
            stream.close()
            raise Unsupported("a stream needs a version 1 request with a Request ID")
        call.holdings.add_stream(request.request_id, stream)
        return stream

    # -- failing -------------------------------------------------------------------------------------------

    def _fail(
        self, holdings: Holdings, request: Request, binding: Binding | None, target: str, error: Exception
    ) -> None:
        failure = translate(error, target)
        if isinstance(failure, InternalError):
            log.error("%s failed unexpectedly", request.operation.name, exc_info=error)
        refused = isinstance(failure, Forbidden | Unseen)
        if binding is not None and (binding.serving.audit or refused):
            self._record(holdings, binding, target, "forbidden" if refused else failure.status.name.lower())
        if request.request_id or request.version == 0:
            holdings.record.respond(request, payloads.pack(error_fields(failure)), failed=True)

    def _record(self, holdings: Holdings, binding: Binding, target: str, outcome: str) -> None:
        actor = holdings.record.device or holdings.rights.description
        self._audit.record(actor, binding.operation.name, target, outcome, **origin(holdings))

    def in_turn(self, name: str, function: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call that may block on the worker thread of a resource, behind what was asked of it before."""
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        lane = self._lane(name)
        job = partial(lane.submit, function, partial(_hand_over, outcome))
        lane.wait(job) if lane.busy else job()
        return outcome

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


def _hand_over(outcome: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    error = done.exception()
    if error is None:
        outcome.set_result(done.result())
    else:
        outcome.set_exception(error)


def _parts(
    binding: Binding, resource: Resource, handle: Handle | None, fields: Mapping[str, Any]
) -> Sequence[Resource]:
    """What of ``resource`` a request uses: never nothing."""
    if handle is not None:
        return handle.parts
    parts = binding.driver.parts_of(resource, fields) if binding.driver is not None else ()
    return parts or (resource,)


def _check_held(call: Call) -> None:
    """Raise NotFound, or Forbidden when a change of rules did it, if the handle of a call was closed meanwhile."""
    handle, holdings = call.handle, call.holdings
    if handle is not None and handle not in holdings.handles.values():
        raise holdings.taken(handle) or NotFound("the handle was closed meanwhile", key="handle")


def _held_by(handle: Handle) -> str:
    """Everything that a handle holds, for the audit log."""
    return " ".join(part.name for part in handle.parts)


def _tier_too_low(binding: Binding) -> Forbidden:
    tier = binding.minimum_tier
    return Forbidden(f"{binding.operation.name} needs tier {tier} or above on this agent", required_tier=tier)


def _nothing_granted(binding: Binding) -> Forbidden:
    where = "some resource" if binding.driver is None else f"{binding.driver.kind}: resources"
    return Forbidden(f"{binding.operation.name} needs {access_name(binding.access)} access to {where}")
