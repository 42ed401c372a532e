"""Pairing: from an invitation link to a board that this user knows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.mesh import link as links

from .environment import SYSTEM
from .errors import ConnectionLost
from .invited import InvitedAgent
from .known import KnownBoard, KnownBoards
from .link import Link


async def pair(
    invitation: str,
    *,
    name: str | None = None,
    boards: KnownBoards | None = None,
    timeout: float = 15.0,
    wait: float = 600.0,
    on_pending: Callable[[str], None] = lambda witness: None,
) -> KnownBoard:
    """Pair the board that ``myclerk-agent invite`` made the link for; it is remembered under ``name``.

    Without a name the link's host gives it. A link without a PIN asks the board's administrators, who have
    ``wait`` seconds to decide; ``on_pending`` gets the witness (34 characters) by which they know whom they
    admit. Who asks again later goes on waiting, for a day. Raises BadRequest for a bad link or name,
    Unauthorized for a PIN that is wrong, spent or expired and where an administrator says no, AgentNotTrusted
    when the agent is not the one of the link, ConnectionLost when nobody decided in time.
    """
    parsed = links.parse(invitation)
    boards = boards or KnownBoards()
    agent = InvitedAgent(parsed, boards, on_pending)

    async def connect(factory: Any) -> None:
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().create_connection(factory, parsed.host, parsed.port)
        except TimeoutError:
            raise ConnectionLost(f"the board did not answer within {timeout:g} s") from None

    def make_session(state: ClientState) -> ClientSession:
        return ClientSession(SYSTEM, agent, state)

    link = Link(connect, make_session, reconnect=0.0, on_registered=agent.registered)
    try:
        await link.open(timeout if parsed.pin is not None else timeout + wait)
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
