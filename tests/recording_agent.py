"""``myclerk-agent`` as it is, with every payload it takes and gives noted in the file MYCLERK_TRACE names.

The notes are what the tests validate against the CDDL, and the evidence of ``make operations``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgpack

from myclerk_agent import cli
from myclerk_protocol.agent_handshake import AgentHandshake, Outcome
from myclerk_protocol.events import Request
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.outbox import Outbox
from myclerk_protocol.records import SessionRecord

_file = os.open(os.environ["MYCLERK_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(operation: str, role: str, payload: bytes | memoryview) -> None:
    """One message: ``role`` is request (of one that succeeded), response, push or error."""
    os.write(_file, msgpack.packb([operation, role, bytes(payload)]))


def _wrap(owner: type, name: str, before: Any) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        before(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    setattr(owner, name, wrapped)


def _answered(self: SessionRecord, request: Request, payload: bytes, failed: bool = False) -> None:
    if request.operation.code < 0:
        return
    if not failed:
        note(request.operation.name, "request", request.payload)
    note(request.operation.name, "error" if failed else "response", payload)
    if not failed and request.operation.response != request.operation.code:
        note(REGISTRY.by_code(request.operation.response).name, "answer", b"")  # type: ignore[union-attr]


def _sent(
    self: Outbox,
    version: int,
    tier: int,
    opcode: int,
    request_id: int,
    payload: bytes,
    push: bool = False,
    compress: bool = False,
) -> None:
    operation = REGISTRY.by_code(opcode)
    if push and operation is not None:
        note(operation.name, "push", payload)


def _record_handshake() -> None:
    original = AgentHandshake.receive

    def receive(self: AgentHandshake, data: bytes | memoryview) -> Outcome:
        outcome = original(self, data)
        if outcome.channel is not None:
            resumed = outcome.resumption is not None
            header = 18 if outcome.version else 14
            name = "SESSION_RESUME" if resumed else "SESSION_INIT"
            note(name, "request", bytes(data)[header:])
            note(name, "response", outcome.replies[0][header:])
            note("SESSION_RESUMED" if resumed else "SESSION_ACK", "answer", b"")
        return outcome

    AgentHandshake.receive = receive  # type: ignore[method-assign]


def _proven(self: AgentHandshake, outcome: Outcome, *args: Any) -> None:
    note("KEY_EXCHANGE_COMPLETE", "push", next(arg for arg in reversed(args) if isinstance(arg, bytes)))


_wrap(AgentHandshake, "_open", _proven)
_wrap(SessionRecord, "respond", _answered)
_wrap(Outbox, "send", _sent)
_record_handshake()

if __name__ == "__main__":
    sys.exit(cli.main())
