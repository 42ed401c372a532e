"""Structured logging over the standard ``logging``: lines for people, native entries for the journal.

A record's fields are its attribute ``fields``: ``log.info("...", extra={"fields": {...}})``, or
:func:`event`. Text that a peer chose goes through :func:`clean` first. The journal is never waited for: what
it cannot take is dropped, counted and reported with the next entry.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "myclerk-agent"
VALUE_LIMIT = 16 << 10
"""Bytes of one value in a journal entry; the rest is cut off."""
ENTRY_LIMIT = 64 << 10
"""Bytes of one journal entry, well within what a datagram socket takes; fields beyond are left out."""

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""Syslog severities (RFC 5424 section 6.2.1) of the standard levels."""
COLOURS = {logging.CRITICAL: "31;1", logging.ERROR: "31", logging.WARNING: "33", logging.DEBUG: "2"}


def clean(text: str | bytes, limit: int = 200) -> str:
    """Peer-provided text made safe to log: at most ``limit`` characters, unprintable ones replaced.

    Control, format (right-to-left override), private and unassigned characters and all separators but the
    space become U+FFFD; bytes are read as UTF-8.
    """
    if isinstance(text, bytes):
        text = text[: 4 * limit + 4].decode(errors="replace")
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text[:limit])
    return shown if len(text) <= limit else shown[:-1] + "…"


def event(logger: logging.Logger, level: int, message: str, /, **fields: Any) -> None:
    """Log ``message`` (a constant sentence) with what varies as named fields."""
    logger.log(level, message, extra={"fields": fields}, stacklevel=2)


def configure(level: str, format: str, stream: TextIO | None = None) -> None:
    """Send all logging to ``stream`` (standard error) or to the journal; replaces what was configured.

    ``level`` is "debug", "info", "warning" or "error" and holds for this project's loggers; other libraries
    are heard from "warning" on. ``format`` is "human", "journal", or "auto": the journal when it is connected
    to our standard error output.
    """
    stream = stream or sys.stderr
    handler: logging.Handler
    if format == "journal" or (format == "auto" and in_journal(stream)):
        handler = JournalHandler()
    else:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(HumanFormatter(colour=stream.isatty()))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("myclerk").setLevel(level.upper())


def in_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``stream`` is the journal's, as JOURNAL_STREAM ("device:inode", systemd.exec(5)) tells."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record that have a value."""
    fields = getattr(record, "fields", None) or {}
    return {name: value for name, value in fields.items() if value is not None}


class HumanFormatter(logging.Formatter):
    """``2026-04-01 12:00:00.123 INFO    message  key=value``; a traceback follows on lines of its own."""

    default_msec_format = "%s.%03d"

    def __init__(self, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; everything but its traceback is on one line."""
        parts = [f"{self.formatTime(record)} {record.levelname:<7} {clean(record.getMessage(), 2000)}"]
        parts += [f"{name}={_quoted(value)}" for name, value in fields_of(record).items()]
        line = "  ".join(parts)
        if self._colour and record.levelno in COLOURS:
            line = f"\x1b[{COLOURS[record.levelno]}m{line}\x1b[0m"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(value: Any) -> str:
    shown = clean(str(value), 2000)
    return f'"{shown}"' if not shown or any(character in shown for character in ' "=') else shown


class JournalHandler(logging.Handler):
    """Entries in the systemd journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Each field of a record becomes MYCLERK_NAME. Entries that the journal cannot take at once are dropped;
    ``dropped`` counts them until the next one that gets through has told.
    """

    def __init__(self, path: Path = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; never raises and never waits."""
        try:
            self._socket.sendto(self.encode(record), self._path)
            self.dropped = 0
        except OSError:
            self.dropped += 1
        except Exception:
            self.handleError(record)

    def encode(self, record: logging.LogRecord) -> bytes:
        """The record as one datagram of at most ENTRY_LIMIT bytes."""
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        entry = {
            "MESSAGE": message,
            "PRIORITY": PRIORITIES.get(record.levelno, 5),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "MYCLERK_LOGGER": record.name,
        }
        if self.dropped:
            entry["MYCLERK_DROPPED"] = self.dropped
        entry.update({journal_name(name): value for name, value in fields_of(record).items()})
        datagram = b""
        for name, value in entry.items():
            encoded = journal_field(name, value)
            if len(datagram) + len(encoded) <= ENTRY_LIMIT:
                datagram += encoded
        return datagram

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._socket.close()
        super().close()


def journal_name(name: str) -> str:
    """The journal's name of a field: MYCLERK_ with A-Z, 0-9 and ``_``, at most 64 characters."""
    letters = "".join(c if c.isascii() and c.isalnum() else "_" for c in name)
    return f"MYCLERK_{letters.upper()}"[:64]


def journal_field(name: str, value: Any) -> bytes:
    """One field of a journal entry: ``NAME=value``, or with its length where the value holds a line end."""
    data = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    data = data[:VALUE_LIMIT]
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
