"""Who has what plugged in on this machine: a note for each port, by the process that serves it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_private


@dataclass(frozen=True, slots=True)
class Note:
    """A device of a board in a port of vhci_hcd; ``pid`` is the process between them."""

    port: int
    board: str
    resource: str
    description: str
    pid: int


def directories() -> list[Path]:
    """Where notes may be: the user's runtime directory, and root's. The first is for ours."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    shared = Path("/run/myclerk-usb")
    return [Path(own) / "myclerk-usb", shared] if own.startswith("/") and os.geteuid() else [shared]


@contextmanager
def noted(note: Note) -> Iterator[None]:
    """Keep a note as long as the device is plugged in. Failing to is no error."""
    path = directories()[0] / f"{note.port:02}.json"
    with suppress(OSError):
        write_private(path, json.dumps(asdict(note)).encode())
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def notes() -> dict[int, Note]:
    """The notes of processes that still run, by port."""
    found = {}
    for directory in directories():
        for path in directory.glob("[0-9]*.json"):
            with suppress(OSError, ValueError, TypeError):
                note = Note(**json.loads(path.read_bytes()))
                os.kill(note.pid, 0)
                found[note.port] = note
    return found
