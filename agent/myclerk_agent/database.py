"""One SQLite file: opened safely, brought up to date, changed in transactions that hold or leave no trace."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from myclerk_protocol.status import ServiceUnavailable

PATIENCE = 5.0
"""Seconds to wait for another process's transaction, where nothing else waits meanwhile."""


class StoreError(ServiceUnavailable):
    """The database cannot be read or written: the disk is full or broken, or the file is none of ours."""


class StoreBusy(StoreError):
    """Another process is writing and does not finish; nothing was changed, and it can be tried again."""


class Database:
    """A SQLite file in WAL mode, synchronised to the disk at every commit. For one thread.

    ``migrations[n]`` holds the statements that bring a file of ``user_version`` n to n + 1. The file is made
    with mode 0600 where there is none. Once it is open a transaction waits ``patience`` seconds for that of
    another process, then raises StoreBusy; reading waits for nobody. Raises StoreError, also for a file that
    a newer version wrote.
    """

    def __init__(self, path: Path, migrations: Sequence[str], patience: float = PATIENCE) -> None:
        with _translated(sqlite3.Error, OSError), _exclusive(path.parent):
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                self._prepare(migrations)
                self._connection.execute(f"PRAGMA busy_timeout = {round(patience * 1000)}").fetchall()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the body changes is on the disk when it ends, or nothing is when it raises."""
        with _translated(sqlite3.Error):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def rows(self, query: str, *parameters: object) -> list[sqlite3.Row]:
        """The rows that a SELECT gives, outside any transaction."""
        with _translated(sqlite3.Error):
            return self._connection.execute(query, parameters).fetchall()

    def backup(self, path: Path) -> None:
        """Copy the database as it is now to a new file at ``path``."""
        with _translated(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def restore(self, path: Path) -> None:
        """Put the contents of the database at ``path``, brought up to date already, in the place of all there is."""
        with _translated(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as source:
            source.backup(self._connection)

    def data_version(self) -> int:
        """A number that changes when another connection has changed the file."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def _prepare(self, migrations: Sequence[str]) -> None:
        self._connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        with self.transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(migrations):
                raise StoreError("The agent's database was written by a newer version of the agent")
            for script in migrations[version:]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextlib.contextmanager
def _translated(*errors: type[Exception]) -> Iterator[None]:
    """Turn ``errors`` into StoreError."""
    try:
        yield
    except errors as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise StoreBusy("Another command is changing the agent's database; try again") from error
        raise StoreError(f"The agent's database failed: {error}") from error


@contextlib.contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    """Keep other processes from opening the file first at the same time: WAL cannot be switched on twice."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
