"""The state directory: private, and whose files are written whole or not at all.

:mod:`.keys` keeps the agent's keys there, :mod:`.store` ``agent.db``, :mod:`.audit` the audit log.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from myclerk_protocol.status import LocalError

DATABASE = "agent.db"


class StateError(LocalError):
    """The state directory, or a file in it, cannot be used; the message says what to do."""


def prepare_directory(directory: Path) -> None:
    """Make ``directory`` with mode 0700 where there is none.

    Raises StateError when others may write to it, or when it belongs to another user.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise StateError(f"{directory} cannot be made: {error.strerror}") from None
    if status.st_uid != os.geteuid():
        owner = _user_name(status.st_uid)
        raise StateError(f"{directory} belongs to {owner}: run this as {owner}, or choose another directory")
    if status.st_mode & 0o022:
        raise StateError(f"{directory} can be written by other users: run `chmod 700 {directory}`")


def become_owner(directory: Path) -> None:
    """As root, go on as the user whom ``directory`` belongs to, for good; otherwise do nothing.

    So that ``sudo myclerk-agent invite`` leaves no file behind that the agent's own user cannot use.
    """
    if os.geteuid() != 0 or not directory.exists():
        return
    owner = directory.stat()
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep other processes from changing the keys in ``directory`` meanwhile. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes:
    """The contents of a file that only its owner, this process's user, may read.

    Raises StateError when others may, OSError when it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise StateError(f"{path} is not a file of {_user_name(os.geteuid())}")
        if status.st_mode & 0o077:
            raise StateError(f"{path} can be read by other users: run `chmod 600 {path}`")
        return file.read()


def write_once(path: Path, data: bytes) -> None:
    """Put ``data`` into a new file ``path`` of mode 0600, whole and on the disk, or leave no trace.

    What is there already stays, be it another process that made it a moment ago. Raises OSError.
    """
    with _written(path, data) as temporary, contextlib.suppress(FileExistsError):
        os.link(temporary, path)  # unlike a rename, never replaces


def write_new(descriptor: int, data: bytes) -> None:
    """Write ``data`` to a file that was opened for this, and see it on the disk. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """As :func:`write_once`, but what is there already is replaced."""
    with _written(path, data) as temporary:
        os.replace(temporary, path)


@contextlib.contextmanager
def _written(path: Path, data: bytes) -> Iterator[str]:
    """A temporary file beside ``path`` that holds ``data``, removed behind the block; then all is on the disk."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
