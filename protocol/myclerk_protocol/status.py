"""Statuses of draft section 9 with the profile's additions, and the one tree of errors.

MyClerkError
├── OperationError            an operation failed; carries a status (one subclass per status)
│   ├── BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, TooMany,
│   ├── InvalidSession, Unsupported, InternalError, ServiceUnavailable, OperationTimeout,
│   └── HardwareError, DeviceGone
├── ProtocolError             the peer broke the wire protocol; its connection ends
│   ├── MalformedMessage      a message that cannot be parsed
│   └── UnopenedMessage       a sealed message that does not decrypt or authenticate
└── LocalError                this side was used wrongly; nothing was sent
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar


class Status(IntEnum):
    """The ``status`` of a response; absent on the wire means OK."""

    OK = 0x00
    BAD_REQUEST = 0x10
    UNAUTHORIZED = 0x11
    FORBIDDEN = 0x12
    NOT_FOUND = 0x13
    CONFLICT = 0x14
    TOO_LARGE = 0x15
    TOO_MANY = 0x16
    INVALID_SESSION = 0x17
    UNSUPPORTED = 0x18
    INTERNAL_ERROR = 0x20
    SERVICE_UNAVAILABLE = 0x21
    TIMEOUT = 0x22
    HARDWARE_ERROR = 0x23
    DEVICE_GONE = 0x24


class MyClerkError(Exception):
    """Root of every error this project raises."""


class ProtocolError(MyClerkError):
    """The peer broke the wire protocol."""


class MalformedMessage(ProtocolError):
    """Bytes that are no message of the profile (section 1)."""


class UnopenedMessage(ProtocolError):
    """A message that does not decrypt or authenticate under the keys of its direction."""


class LocalError(MyClerkError):
    """The caller asked for something that the session's state or limits rule out."""


class OperationError(MyClerkError):
    """An operation failed. ``message`` is one sentence for a human.

    ``details`` holds what else the response carries, by Python name: ``key`` (the payload key at fault),
    ``required_tier``, ``errno`` (symbolic, "EBUSY"), ``holder``, ``executed``, ``administrator``.
    """

    status: ClassVar[Status] = Status.INTERNAL_ERROR

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class BadRequest(OperationError, ValueError):
    """Malformed message or invalid parameters."""

    status = Status.BAD_REQUEST


class Unauthorized(OperationError):
    """Authentication is required or failed."""

    status = Status.UNAUTHORIZED


class Forbidden(OperationError, PermissionError):
    """Insufficient rights or tier."""

    status = Status.FORBIDDEN

    def __str__(self) -> str:
        return self.message


class NotFound(OperationError, LookupError):
    """The named resource, handle or stream does not exist."""

    status = Status.NOT_FOUND


class Conflict(OperationError):
    """Busy or locked; ``holder`` names who has it."""

    status = Status.CONFLICT


class TooLarge(OperationError, ValueError):
    """A length inside a payload, or an answer, exceeds its limit."""

    status = Status.TOO_LARGE


class TooMany(OperationError):
    """A limit on connections, requests in flight or rate was reached."""

    status = Status.TOO_MANY


class InvalidSession(OperationError):
    """The session expired, or the ticket is not (or no longer) valid."""

    status = Status.INVALID_SESSION


class Unsupported(OperationError):
    """The operation is unknown, not served here, or only ever a push."""

    status = Status.UNSUPPORTED


class InternalError(OperationError):
    """The agent met an error that it did not expect."""

    status = Status.INTERNAL_ERROR


class ServiceUnavailable(OperationError):
    """The service is temporarily unavailable."""

    status = Status.SERVICE_UNAVAILABLE


class OperationTimeout(OperationError, TimeoutError):
    """The operation did not complete in time."""

    status = Status.TIMEOUT

    def __str__(self) -> str:
        return self.message


class HardwareError(OperationError, OSError):
    """The kernel or the device said no; ``errno`` in ``details`` is symbolic ("EIO")."""

    status = Status.HARDWARE_ERROR

    def __str__(self) -> str:
        return self.message


class DeviceGone(OperationError, ConnectionError):
    """The device left (unplugged, driver unbound)."""

    status = Status.DEVICE_GONE

    def __str__(self) -> str:
        return self.message


ERRORS: Mapping[Status, type[OperationError]] = {
    error.status: error
    for error in (
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, TooMany, InvalidSession,
        Unsupported, InternalError, ServiceUnavailable, OperationTimeout, HardwareError, DeviceGone,
    )
}  # fmt: skip


def error_from(status: int, message: str | None = None, /, **details: Any) -> OperationError:
    """The exception that stands for ``status``; an unknown status becomes its range's general error."""
    try:
        known = Status(status)
    except ValueError:
        known = Status.BAD_REQUEST if 0x10 <= status < 0x20 else Status.INTERNAL_ERROR
        message = f"status 0x{status:02X}: {message or 'no message'}"
    return ERRORS[known](message or known.name.replace("_", " ").lower(), **details)


def error_fields(error: OperationError) -> dict[str, Any]:
    """The wire fields of a failed response: status, message and the details, by wire name."""
    details = {key.replace("_", "-"): value for key, value in error.details.items() if value is not None}
    return {"status": int(error.status), "message": error.message, **details}


def error_from_fields(fields: Mapping[str, Any]) -> MyClerkError:
    """The exception that the wire fields of a failed answer stand for; MalformedMessage if they are off."""
    details = {
        key.replace("-", "_"): value for key, value in fields.items() if key not in ("status", "message")
    }
    status, message = fields.get("status"), fields.get("message")
    if not isinstance(status, int) or not isinstance(message, str | None):
        return MalformedMessage("a failed answer without a proper `status` and `message`")
    return error_from(status, message, **details)
