"""What the session state machines report: small records, one per thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client_state import PendingRequest
from .operations import Operation
from .status import MyClerkError

if TYPE_CHECKING:
    from .records import SessionRecord


@dataclass(slots=True)
class Request:
    """A request to execute: authentication, form, tier and exactly-once are settled, rights are not.

    ``opcode`` is the code as asked (a legacy alias is answered under itself); ``request_id`` 0 wants no
    answer (version 1). ``payload`` is still encoded.
    """

    opcode: int
    operation: Operation
    request_id: int
    tier: int
    version: int
    payload: bytes | memoryview


@dataclass(slots=True)
class Registration:
    """A CLIENT_REGISTER to be judged: answer it with ``accept``, ``hold`` or ``refuse`` of the session."""

    request: Request
    fields: Mapping[str, Any]
    transcript: bytes
    repeat: bool


@dataclass(slots=True)
class Established:
    """A handshake succeeded. ``resumed`` says whether it took over an earlier session.

    On the agent this is the proof of a resume, or SESSION_ACK sent; on the client it comes when requests may
    flow. ``held`` (client, resumed) says whether what the session held is still there. ``lost`` (client,
    not resumed) are requests of an earlier session that were sent and never answered. ``classical`` asks for
    a warning in the log (draft section 5.2).
    """

    resumed: bool
    classical: bool
    tier: int
    held: bool = True
    lost: tuple[PendingRequest, ...] = ()


@dataclass(slots=True)
class Ended:
    """This connection is over; close the transport once everything was sent.

    ``linger`` says whether the session may be resumed; ``record`` is the agent's session record;
    ``error`` (client) is why, where there is an error to show.
    """

    reason: str
    linger: bool
    record: SessionRecord | None = None
    error: MyClerkError | None = None


@dataclass(slots=True)
class Response:
    """The client's: the answer to one of its requests; ``payload`` is still encoded."""

    request: PendingRequest
    opcode: int
    payload: bytes | memoryview


@dataclass(slots=True)
class Failure:
    """The client's: the batch that carried these requests was refused whole; nothing was executed."""

    requests: tuple[PendingRequest, ...]
    fields: Mapping[str, Any]


@dataclass(slots=True)
class Push:
    """The client's: something pushed on the stream that request ``request_id`` opened."""

    request_id: int
    opcode: int
    payload: bytes | memoryview


@dataclass(slots=True)
class Registered:
    """The client's: CLIENT_REGISTER was answered; ``fields`` is the whole answer, ticket included."""

    fields: Mapping[str, Any]


AgentEvent = Request | Registration | Established | Ended
ClientEvent = Response | Failure | Push | Registered | Established | Ended
