"""The operations on device requests: hubs ask, administrators decide (draft section 6.3.5)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from myclerk_drivers.base import Access, serves
from myclerk_protocol.status import BadRequest, NotFound, Unsupported

from .device_requests import LIFETIME
from .log import clean
from .records import DeviceRequest, RequestState
from .resources import Holdings
from .rights import require_administrator, require_hub

if TYPE_CHECKING:
    from .service import Service

LONGEST_TEXT = 512
FINGERPRINT = 28


class RequestOperations:
    """Requests of hubs for resources, with their six states."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requests = service.store.device_requests
        self._waiting: set[asyncio.Future[None]] = set()
        service.on_store_change.append(self._changed)

    @serves("DEVICE_REQUEST_CREATE", access=Access.NONE, audit=True)
    def device_request_create(
        self,
        holdings: Holdings,
        devices: Sequence[Mapping[str, Any]],
        client: str | None = None,
        reason: str = "",
        lifetime: float = LIFETIME,
    ) -> Mapping[str, Any]:
        """Ask that a device gets access to resources, shared or not."""
        require_hub(holdings.rights)
        asker = holdings.rights.device
        if len(asker) != FINGERPRINT:
            raise Unsupported("requests are for paired devices; here, give the access yourself")
        wanted: dict[str, int] = {}
        for device in devices:
            name = device["resource"]
            self._service.dispatcher.find(name)
            if name in wanted:
                raise BadRequest(f"{name} is named twice", key="devices")
            wanted[name] = int(device.get("access", Access.READ_WRITE))
        text = clean(reason, LONGEST_TEXT)
        request = self._requests.create(asker, client or asker, wanted, reason=text, lifetime=lifetime)
        return {"token": request.token, "expires_at": int(request.expires_at)}

    @serves("DEVICE_REQUEST_LIST", access=Access.NONE)
    def device_request_list(self, holdings: Holdings, pending: bool = False) -> Mapping[str, Any]:
        """The requests that the asker may see."""
        require_hub(holdings.rights)
        requests = [request for request in self._requests.all() if _may_see(holdings, request)]
        return {"requests": [_entry(r) for r in requests if r.state is RequestState.PENDING or not pending]}

    @serves("DEVICE_REQUEST_DETAILS", access=Access.NONE)
    async def device_request_details(
        self, holdings: Holdings, token: str, wait: float = 0.0
    ) -> Mapping[str, Any]:
        """One request with its resources; with ``wait`` when it is decided, or that many seconds are over."""
        require_hub(holdings.rights)
        request = self._find(holdings, token)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while request.state is RequestState.PENDING and (left := deadline - loop.time()) > 0:
            await self._change(min(left, self._requests.time_left(request)))
            request = self._find(holdings, token)
        devices = [{"resource": d.name, "access": d.access, "approved": d.approved} for d in request.devices]
        return {"request": _entry(request), "devices": devices, "answer": request.answer}

    @serves("DEVICE_REQUEST_RESPOND", access=Access.NONE, audit=True)
    def device_request_respond(
        self,
        holdings: Holdings,
        token: str,
        approve: bool,
        resources: Sequence[str] | None = None,
        answer: str = "",
    ) -> Mapping[str, Any]:
        """Approve a request, some of it, or nothing; administrators only. What is approved can be used at once."""
        require_administrator(holdings.rights)
        if resources is not None and not approve:
            raise BadRequest("say which `resources` to approve, or reject the whole request", key="resources")
        asked = [device.name for device in self._requests.find(token).devices]
        approved = (asked if resources is None else resources) if approve else ()
        request = self._requests.respond(token, approved, clean(answer, LONGEST_TEXT))
        self._service.rights_changed()
        return {"state": int(request.state)}

    @serves("DEVICE_REQUEST_CANCEL", access=Access.NONE, audit=True)
    def device_request_cancel(self, holdings: Holdings, token: str) -> None:
        """Withdraw a request that is pending: who asked, or an administrator."""
        require_hub(holdings.rights)
        self._find(holdings, token)
        self._requests.cancel(token)
        self._service.rights_changed()

    def _find(self, holdings: Holdings, token: str) -> DeviceRequest:
        """The request, for who may know of it. Raises NotFound."""
        request = self._requests.find(token)
        if not _may_see(holdings, request):
            raise NotFound("there is no such request, or it was forgotten", key="token")
        return request

    async def _change(self, timeout: float) -> None:
        """Wait until requests may have changed, or for ``timeout`` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=timeout)
        finally:
            self._waiting.discard(future)

    def _changed(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _may_see(holdings: Holdings, request: DeviceRequest) -> bool:
    return holdings.rights.administrator or holdings.rights.device == request.asked_by


def _entry(request: DeviceRequest) -> dict[str, Any]:
    return {
        "token": request.token,
        "state": int(request.state),
        "asked_by": request.asked_by,
        "client": request.client,
        "reason": request.reason,
        "created_at": int(request.issued_at),
        "expires_at": int(request.expires_at),
        "decided_at": None if request.decided_at is None else int(request.decided_at),
        "devices": len(request.devices),
    }
