"""The client of a MyClerk agent: boards, their buses, pairing. ``import myclerk`` gives the same names."""

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    InternalError,
    InvalidSession,
    LocalError,
    MyClerkError,
    NotFound,
    OperationError,
    OperationTimeout,
    ProtocolError,
    ServiceUnavailable,
    TooLarge,
    TooMany,
    Unauthorized,
    Unsupported,
)

from .batch import Batch
from .board import Board
from .errors import AgentNotTrusted, ConnectionLost, NotPaired, SessionLost
from .known import KnownBoard, KnownBoards
from .locks import Lock
from .pairing import pair
from .serial import SerialPort, SerialPorts
from .streams import ByteStream, EventStream

__all__ = [
    "AgentNotTrusted",
    "BadRequest",
    "Batch",
    "Board",
    "ByteStream",
    "Conflict",
    "ConnectionLost",
    "DeviceGone",
    "EventStream",
    "Forbidden",
    "HardwareError",
    "InternalError",
    "InvalidSession",
    "KnownBoard",
    "KnownBoards",
    "LocalError",
    "Lock",
    "MyClerkError",
    "NotFound",
    "NotPaired",
    "OperationError",
    "OperationTimeout",
    "ProtocolError",
    "SerialPort",
    "SerialPorts",
    "ServiceUnavailable",
    "SessionLost",
    "TooLarge",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "pair",
]
