"""The devices that are paired with a board (operations 0x0251-0x0256)."""

from __future__ import annotations

from typing import Any

from myclerk_protocol.status import NotFound

from .link import Link
from .modes import in_words, mode_number, subject_of


class Clients:
    """The clients of a board, ``board.clients``, by fingerprint: oneself, or all for administrators and hubs.

    >>> for client in await board.clients.list():
    ...     print(client["description"], client["connected"])
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The paired devices in the order of their pairing, revoked ones included. Raises Forbidden."""
        return [in_words(client) for client in (await self._link.request("CLIENT_LIST", {}))["clients"]]

    async def find(self, text: str) -> str:
        """The fingerprint of the one device that ``text`` means: its name, its fingerprint or the start of that.

        Raises NotFound, Forbidden.
        """
        start = text.upper().replace("-", "")
        found = [
            client["fingerprint"]
            for client in (await self._link.request("CLIENT_LIST", {}))["clients"]
            if client["description"] == text or (start and client["fingerprint"].startswith(start))
            if not client["revoked"]
        ]
        if len(found) != 1:
            how_many = "no client of the board matches" if not found else "several clients of the board match"
            raise NotFound(f"{how_many} {text!r}; `myclerk clients list` shows them with fingerprints")
        return str(found[0])

    async def info(self, client: str | None = None) -> dict[str, Any]:
        """{``client``, ``groups``, ``rules``} of one device, None: this one. Raises NotFound, Forbidden."""
        answer = await self._link.request("CLIENT_INFO", _named(client))
        rules = [in_words(rule) for rule in answer["rules"]]
        return {"client": in_words(answer["client"]), "groups": answer["groups"], "rules": rules}

    async def status(self, client: str | None = None) -> dict[str, Any]:
        """{``connected``, ``sessions``, perhaps ``activity``}: what a device does now, None: this one.

        Each session has ``session_id``, ``connected``, ``session_tier``, ``post_quantum``, ``own``,
        ``holds`` and ``locks`` (names of resources), ``streams``. Raises NotFound, Forbidden.
        """
        return await self._link.request("CLIENT_STATUS", _named(client))

    async def heartbeat(self, activity: str | None = None) -> int:
        """Show that somebody is there, and doing ``activity`` ("" for nothing any more); the board's Unix time."""
        return int((await self._link.request("CLIENT_HEARTBEAT", {"activity": activity}))["now"])

    async def assign(self, client: str, resource: str, access: str | int = "read-write") -> None:
        """Give a device access to one resource, shared or not; it counts for whatever has this name.

        Raises NotFound, Forbidden for what a hub does not have itself.
        """
        fields = {**_named(client), "resource": resource, "access": mode_number(access)}
        await self._link.request("CLIENT_ASSIGN", fields)

    async def unassign(self, client: str, resource: str) -> None:
        """Take back what was assigned, by any name of the resource. Raises NotFound, Forbidden."""
        await self._link.request("CLIENT_REVOKE", {**_named(client), "resource": resource})

    async def revoke(self, client: str) -> None:
        """Refuse a device from now on: its sessions end at once. For administrators, and for oneself."""
        await self._link.request("CLIENT_REVOKE", _named(client))


def _named(client: str | None) -> dict[str, str | None]:
    return {"client": None if client is None else subject_of(client)}
