"""The boards this user has paired, and the identity under which they know this user."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from myclerk_protocol import signatures
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.status import BadRequest, LocalError

from .environment import SYSTEM
from .errors import NotPaired
from .files import config_directory, read_private, write_private

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownBoard:
    """A paired board: where it is and who it must prove to be.

    ``fingerprint`` has 28 characters; ``public_key`` and ``pq_public`` are hex, the latter "" without one.
    ``post_quantum`` and ``tier`` are what the last session had, to warn when a later one has less.
    ``administrators`` may say that another agent stands in for this one: Ed448 public key and SHA-512 of the
    ML-DSA-65 one, both hex, the latter "" without one. ``connection`` is the assertion by which this device
    was admitted, JSON, "" where there is none.
    """

    name: str
    host: str
    port: int
    fingerprint: str
    public_key: str
    pq_public: str = ""
    post_quantum: bool = True
    tier: int = 5
    administrators: tuple[tuple[str, str], ...] = ()
    connection: str = ""


class KnownBoards:
    """The user's boards, in ``boards.json`` of the configuration directory, and ``device.key``."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or config_directory()
        self._path = self.directory / "boards.json"

    def all(self) -> list[KnownBoard]:
        """Every paired board, by name. Raises LocalError for a damaged file."""
        data = read_private(self._path)
        if data is None:
            return []
        try:
            return sorted(map(_board, json.loads(data)), key=lambda b: b.name)
        except (ValueError, TypeError, AttributeError):
            raise LocalError(f"{self._path} is damaged; move it away and pair again") from None

    def find(self, name: str | None) -> KnownBoard:
        """The board of that name or fingerprint; None means the only one. Raises NotPaired."""
        boards = self.all()
        if name is None:
            name = os.environ.get("MYCLERK_BOARD")
        if name is None:
            if len(boards) == 1:
                return boards[0]
            if not boards:
                raise NotPaired(
                    "no board is paired; run `myclerk-agent invite` there and `myclerk pair LINK` here"
                )
            names = ", ".join(b.name for b in boards)
            raise NotPaired(f"say which board with --board or MYCLERK_BOARD: {names}")
        for board in boards:
            if name in (board.name, board.fingerprint):
                return board
        raise NotPaired(f"no board named {name!r} is paired; `myclerk boards` lists them")

    def add(self, board: KnownBoard) -> KnownBoard:
        """Remember a board; the same agent under another name is replaced. Raises BadRequest for its name."""
        if not NAME.fullmatch(board.name):
            raise BadRequest(f"{board.name!r} is no name for a board: letters, digits, dots and dashes")

        def change(boards: list[KnownBoard]) -> list[KnownBoard]:
            if any(b.name == board.name and b.fingerprint != board.fingerprint for b in boards):
                raise BadRequest(f"another board is named {board.name}; choose another with --name")
            return [b for b in boards if b.fingerprint != board.fingerprint] + [board]

        self._change(change)
        return board

    def update(self, name: str, **changes: Any) -> None:
        """Change fields of a board, if it is still there."""
        self._change(lambda boards: [replace(b, **changes) if b.name == name else b for b in boards])

    def forget(self, name: str) -> KnownBoard:
        """Forget a board. Raises NotPaired."""
        board = self.find(name)
        self._change(lambda boards: [b for b in boards if b.fingerprint != board.fingerprint])
        return board

    def identity(self) -> Identity:
        """This user's identity; made at first use, and completed where ML-DSA-65 has become available.

        Raises LocalError for a damaged or readable file.
        """
        path = self.directory / "device.key"
        data = read_private(path)
        if data is None or _lacks_pq(Identity.from_bytes(data)):
            with self._locked():
                data = read_private(path)
                identity = _new_identity() if data is None else Identity.from_bytes(data)
                if _lacks_pq(identity):
                    identity = identity.issued_anew(SYSTEM.wall(), pq_random=SYSTEM.random)
                data = identity.to_bytes()
                write_private(path, data)
        return Identity.from_bytes(data)

    def _change(self, change: Callable[[list[KnownBoard]], list[KnownBoard]]) -> None:
        with self._locked():
            boards = change(self.all())
            write_private(self._path, json.dumps([asdict(b) for b in boards], indent=1).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two programs that change the files at once take turns."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _board(entry: Any) -> KnownBoard:
    named = tuple((public, digest) for public, digest in entry.get("administrators", ()))
    return KnownBoard(**{**entry, "administrators": named})


def _lacks_pq(identity: Identity) -> bool:
    return identity.pq_public is None and signatures.available()


def _new_identity() -> Identity:
    description = f"{os.environ.get('USER', 'user')}@{socket.gethostname()}"[:128]
    return Identity.create(
        "device",
        description if description.isprintable() else "client",
        SYSTEM.random,
        SYSTEM.wall(),
        signatures.available(),
    )
