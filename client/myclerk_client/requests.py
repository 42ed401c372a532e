"""Asking the administrators of a board for its resources (operations 0x0257-0x025B)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .link import Link
from .modes import STATES, in_words, mode_number, subject_of


class DeviceRequests:
    """Requests for resources, ``board.requests``: hubs ask, administrators decide on each resource.

    A request is named by its ``token``. It is "pending", then "approved", "partially approved", "rejected",
    "expired" or "cancelled".

    >>> token = (await board.requests.create(["serial:ttyUSB0"], reason="for the test rack"))["token"]
    >>> await board.requests.details(token, wait=3600)
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def create(
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
        if not isinstance(resources, Mapping):
            resources = dict.fromkeys(resources, "read-write")
        fields = {
            "devices": [{"resource": name, "access": mode_number(mode)} for name, mode in resources.items()],
            "client": None if client is None else subject_of(client),
            "reason": reason,
            "lifetime": lifetime,
        }
        return await self._link.request("DEVICE_REQUEST_CREATE", fields)

    async def list(self, *, pending: bool = False) -> list[dict[str, Any]]:
        """All requests for administrators, their own for hubs, or only those that are pending. Raises Forbidden."""
        answer = await self._link.request("DEVICE_REQUEST_LIST", {"pending": pending})
        return [_entry(request) for request in answer["requests"]]

    async def details(self, token: str, *, wait: float = 0.0) -> dict[str, Any]:
        """A request with its ``resources`` {``resource``, ``access``, ``approved`` once decided} and the ``answer``.

        Waits up to ``wait`` seconds for the decision. Raises NotFound, Forbidden.
        """
        answer = await self._link.request(
            "DEVICE_REQUEST_DETAILS", {"token": subject_of(token), "wait": wait}
        )
        resources = [in_words(device) for device in answer["devices"]]
        return {**_entry(answer["request"]), "resources": resources, "answer": answer["answer"]}

    async def approve(self, token: str, resources: Iterable[str] | None = None, *, answer: str = "") -> str:
        """Give access to all that was asked for, or to these resources; the state then. For administrators.

        Raises NotFound, BadRequest for what was not asked for, Conflict when it is not pending any more.
        """
        return await self._respond(token, True, None if resources is None else list(resources), answer)

    async def reject(self, token: str, *, answer: str = "") -> str:
        """Give nothing; the state then. For administrators. Raises as :meth:`approve`."""
        return await self._respond(token, False, None, answer)

    async def cancel(self, token: str) -> None:
        """Withdraw a request. Raises NotFound, Conflict when it is not pending any more."""
        await self._link.request("DEVICE_REQUEST_CANCEL", {"token": subject_of(token)})

    async def _respond(self, token: str, approve: bool, resources: Any, answer: str) -> str:
        fields = {
            "token": subject_of(token),
            "approve": approve,
            "resources": resources,
            "answer": answer,
        }
        return STATES[(await self._link.request("DEVICE_REQUEST_RESPOND", fields))["state"]]


def _entry(request: Mapping[str, Any]) -> dict[str, Any]:
    return {**request, "state": STATES[request["state"]]}
