"""The audit log's files: JSON lines, each of which names the hash of the one before.

``audit.jsonl`` is the current file; at its size limit it becomes ``audit.jsonl.1``, that ``.2``, and so on up to
``.8``. The first line of a file names the hash of the last one of the file before. ``audit.head`` has number
and hash of the last record and the number of the first one kept, so that records missing at either end are
noticed too.

The hash of a record is SHA-256 over its line without the line end. Record 1 names 64 zeros.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "audit.jsonl"
HEAD = "audit.head"
SIZE_LIMIT = 10 << 20
"""Bytes of the current file above which the next record begins a new one."""
ROTATED = 8
"""Full files that are kept."""
LINE_LIMIT = 64 << 10
"""Bytes within which the last line of a file is looked for."""


@dataclass(frozen=True, slots=True)
class Link:
    """A record's place in the chain: its number, from 1, and its hash in hex."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


START = Link(0, "0" * 64)


def hash_of(line: bytes) -> str:
    """The hash of a record: ``line`` is without its line end."""
    return hashlib.sha256(line).hexdigest()


def files(directory: Path) -> list[Path]:
    """The log's files that are there, the oldest first."""
    rotated = [directory / f"{NAME}.{number}" for number in range(ROTATED, 0, -1)]
    return [path for path in (*rotated, directory / NAME) if path.exists()]


@dataclass(frozen=True, slots=True)
class Head:
    """What ``audit.head`` says: the last record, and the number of the first that is kept."""

    last: Link = START
    first: int = 1


def read_head(directory: Path) -> Head | None:
    """The contents of ``audit.head``; None where it is missing or makes no sense."""
    try:
        last, first = (directory / HEAD).read_text(encoding="ascii").split()
        number, _, value = last.partition(":")
        return Head(Link(int(number), value), int(first))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def shared(directory: Path) -> Iterator[None]:
    """Keep writers from adding and rotating meanwhile; nothing happens where there is no log."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


class ChainWriter:
    """Adds records to the log in ``directory``, in turn with other processes. For one thread.

    ``append`` waits for others, and for the disk.
    """

    def __init__(self, directory: Path, size_limit: int = SIZE_LIMIT) -> None:
        self._directory = directory
        self._path = directory / NAME
        self._size_limit = size_limit
        self._known: tuple[int, int, int] | None = None  # device, inode and size of the file behind _last
        self._last = START
        self._first = 1

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add ``entries``, all of them or none, and see them on the disk. Raises OSError."""
        with self._locked() as descriptor:
            lines, last = bytearray(), self._last
            for entry in entries:
                chain = {"number": last.number + 1, "previous": last.hash}
                line = json.dumps(
                    {**chain, **entry, **chain}, ensure_ascii=False, separators=(",", ":")
                ).encode()
                last = Link(last.number + 1, hash_of(line))
                lines += line + b"\n"
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, lines) < len(lines):
                    raise OSError("the disk is full")
                os.fdatasync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            self._note(descriptor, last)
            with contextlib.suppress(OSError):  # the record is there; the head may be behind
                self._write_head(last)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The current file, open for appending, below its limit, whole, and locked against others."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not self._is_current(descriptor):
                    continue  # another process has just rotated it away
                self._find_last(descriptor)
                if os.fstat(descriptor).st_size < self._size_limit:
                    yield descriptor
                    return
                self._rotate()
            finally:
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _find_last(self, descriptor: int) -> None:
        """Know the last record, also where another process has written it."""
        status = os.fstat(descriptor)
        if self._known == (status.st_dev, status.st_ino, status.st_size):
            return
        line = _last_line(descriptor, repair=True)
        if line is None:
            line = self._last_rotated()
        self._note(descriptor, self._link_of(line))

    def _last_rotated(self) -> bytes | None:
        try:
            descriptor = os.open(f"{self._path}.1", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _last_line(descriptor, repair=False)
        finally:
            os.close(descriptor)

    def _link_of(self, line: bytes | None) -> Link:
        """What the next record follows: the last ``line``, or the head where the two contradict each other.

        A head that is behind comes from a crash. Otherwise the last record was changed or taken away, and
        following the head keeps that visible.
        """
        head = read_head(self._directory) or Head()
        self._first = head.first
        number = None if line is None else number_of(line)
        if line is None or number is None or number <= head.last.number:
            return head.last
        return Link(number, hash_of(line))

    def _note(self, descriptor: int, last: Link) -> None:
        status = os.fstat(descriptor)
        self._known, self._last = (status.st_dev, status.st_ino, status.st_size), last

    def _rotate(self) -> None:
        oldest_goes = os.path.exists(f"{self._path}.{ROTATED}")
        for number in range(ROTATED - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")
        if oldest_goes:
            self._first = _first_number(files(self._directory)[0]) or self._first
            self._write_head(self._last)

    def _write_head(self, last: Link) -> None:
        """Behind the record: a head that is behind the log is one that a crash has kept from being written."""
        temporary = self._directory / f".{HEAD}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, f"{last} {self._first}\n".encode("ascii"))
        finally:
            os.close(descriptor)
        os.replace(temporary, self._directory / HEAD)


def number_of(line: bytes) -> int | None:
    """The number in a record's line; None where the line is none."""
    try:
        number = json.loads(line)["number"]
    except (ValueError, TypeError, KeyError):
        return None
    return number if type(number) is int else None


def _first_number(path: Path) -> int | None:
    with path.open("rb") as file:
        return number_of(file.readline())


def _last_line(descriptor: int, *, repair: bool) -> bytes | None:
    """The last whole line of a file, without its end; ``repair`` cuts off what a crash has left behind it."""
    size = os.fstat(descriptor).st_size
    start = max(size - LINE_LIMIT, 0)
    tail = os.pread(descriptor, size - start, start)
    whole, _, torn = tail.rpartition(b"\n")
    if torn and repair:
        os.ftruncate(descriptor, size - len(torn))
    if not whole:
        return None
    return whole.rpartition(b"\n")[2]
