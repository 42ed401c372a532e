"""How a command ends: one table of exit codes, and the sentence or JSON that says why on standard error."""

from __future__ import annotations

import json
import logging
import signal
from typing import Any, NamedTuple

import click

from myclerk_protocol.status import (
    Conflict,
    DeviceGone,
    Forbidden,
    InvalidSession,
    MyClerkError,
    OperationError,
    Unauthorized,
)

from ..errors import AgentNotTrusted, ConnectionLost, NotPaired
from .output import clean, jsonable

log = logging.getLogger("myclerk.cli")


class Outcome(NamedTuple):
    """One way to end. ``status`` names it in JSON where the error has no status of the protocol."""

    code: int
    status: str
    meaning: str
    errors: tuple[type[BaseException], ...] = ()


OUTCOMES = (
    Outcome(0, "OK", "done"),
    Outcome(1, "FAILED", "the operation failed", (MyClerkError, OSError, click.ClickException)),
    Outcome(2, "USAGE", "wrong usage", (click.UsageError,)),
    Outcome(3, "NOT_PAIRED", "not paired, or no such board", (NotPaired,)),
    Outcome(
        4, "NOT_CONNECTED", "the board cannot be reached, or ended the session",
        (ConnectionLost, InvalidSession),
    ),
    Outcome(
        5, "NOT_TRUSTED", "not trusted, not authenticated or not permitted",
        (AgentNotTrusted, Unauthorized, Forbidden),
    ),
    Outcome(6, "CONFLICT", "busy: in use or locked", (Conflict,)),
    Outcome(7, "TIMEOUT", "not done in time", (TimeoutError,)),
    Outcome(8, "DEVICE_GONE", "the device is gone", (DeviceGone,)),
    Outcome(70, "DEFECT", "unexpected error in this program; -v shows it"),
    Outcome(130, "INTERRUPTED", "interrupted", (KeyboardInterrupt, click.Abort)),
)  # fmt: skip
"""Every exit code. The last row that lists a class of an error counts; `lock` ends by its command's code."""

_BY_CODE = {outcome.code: outcome for outcome in OUTCOMES}
DEFECT = _BY_CODE[70]


class Interrupted(KeyboardInterrupt):
    """A signal ended the command. The exit code is 128 and the signal's number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def outcome(error: BaseException) -> Outcome:
    """The row of the table that ``error`` ends by."""
    found = (row for row in reversed(OUTCOMES) if isinstance(error, row.errors))
    row = next(found, DEFECT)
    return row._replace(code=128 + error.number) if isinstance(error, Interrupted) else row


def epilog() -> str:
    """The table for ``--help``."""
    rows = "\n".join(f"  {row.code:>3}  {row.meaning}" for row in OUTCOMES)
    return f"\b\nExit codes:\n{rows}"


def report(error: BaseException, *, as_json: bool) -> int:
    """Say on standard error why the command failed; the exit code. A traceback is logged, at debug level."""
    row = outcome(error)
    if row is DEFECT:
        log.debug("unexpected error", exc_info=error)
    if as_json:
        fields = {"status": _status(error, row), "message": _sentence(error, row), "details": _details(error)}
        click.echo(json.dumps({"error": fields}), err=True)
    elif isinstance(error, click.UsageError):
        error.show()
    elif not isinstance(error, KeyboardInterrupt):
        click.echo(f"myclerk: {_sentence(error, row)}", err=True)
    return row.code


def _status(error: BaseException, row: Outcome) -> str:
    return error.status.name if isinstance(error, OperationError) else row.status


def _details(error: BaseException) -> Any:
    return jsonable(dict(error.details)) if isinstance(error, OperationError) else {}


def _sentence(error: BaseException, row: Outcome) -> str:
    if row is DEFECT:
        return f"unexpected {type(error).__name__}; run the command again with -v to see what went wrong"
    if isinstance(error, click.ClickException):
        return clean(error.format_message())
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return row.meaning
    if isinstance(error, MyClerkError):
        text = clean(str(error)) or row.meaning
        errno = error.details.get("errno") if isinstance(error, OperationError) else None
        return text if errno is None or str(errno) in text else f"{text} ({clean(str(errno))})"
    if isinstance(error, OSError) and error.strerror:
        return clean(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return clean(str(error)) or row.meaning
