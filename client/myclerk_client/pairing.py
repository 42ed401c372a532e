"""Pairing: from an invitation link to a board that this user knows."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.mesh import link as links

from .environment import SYSTEM
from .known import KnownBoard, KnownBoards
from .link import Link
from .trust import InvitedAgent


async def pair(
    invitation: str, *, name: str | None = None, boards: KnownBoards | None = None, timeout: float = 15.0
) -> KnownBoard:
    """Pair the board that ``myclerk-agent invite`` made the link for; it is remembered under ``name``.

    Without a name the link's host gives it. Raises BadRequest for a bad link or name, Unauthorized for a PIN
    that is wrong, spent or expired, AgentNotTrusted when the agent is not the one of the link.
    """
    parsed = links.parse(invitation)
    boards = boards or KnownBoards()
    agent = InvitedAgent(parsed, boards)

    async def connect(factory: Any) -> None:
        await asyncio.get_running_loop().create_connection(factory, parsed.host, parsed.port)

    def make_session(state: ClientState) -> ClientSession:
        return ClientSession(SYSTEM, agent, state)

    link = Link(connect, make_session, reconnect=0.0, on_registered=agent.registered)
    try:
        await link.open(timeout)
    finally:
        await link.close()
    chosen = name or _free_name(parsed.host, agent.board("-").fingerprint, boards)
    return boards.add(agent.board(chosen))


def _free_name(host: str, fingerprint: str, boards: KnownBoards) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]", "-", host.partition(".local")[0]).strip("-.") or "board"
    known = {b.name: b.fingerprint for b in boards.all()}
    number, name = 1, base
    while known.get(name, fingerprint) != fingerprint:
        number += 1
        name = f"{base}-{number}"
    return name
