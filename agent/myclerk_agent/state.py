"""The state directory and the agent's keys in it: made once, private for ever, never overwritten.

``agent.key`` is the agent's identity, ``administrator.key`` signs the assertions by which devices are
admitted (docs/protocol.md), ``agent.db`` and ``audit.jsonl`` belong to :mod:`.store` and :mod:`.audit`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from myclerk_protocol import signatures
from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh.profiles import MAXIMUM_DESCRIPTION, Identity
from myclerk_protocol.signatures import ED448_SEED_SIZE, Ed448Key
from myclerk_protocol.status import LocalError

from .log import clean

AGENT_KEY = "agent.key"
ADMINISTRATOR_KEY = "administrator.key"
DATABASE = "agent.db"


class StateError(LocalError):
    """The state directory, or a file in it, cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class AgentKeys:
    """Who the agent is, and the key by which it admits devices. Neither shows secrets in its repr."""

    identity: Identity
    administrator: Ed448Key


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


def load_keys(directory: Path, environment: Environment, post_quantum: bool = True) -> AgentKeys:
    """The agent's keys from ``directory``, which :func:`prepare_directory` judged; new at the first start.

    ``post_quantum`` gives a new identity an ML-DSA-65 key where the installed libraries have it. Raises
    StateError for a file that is damaged, missing beside the other, or not private.
    """
    agent, administrator = directory / AGENT_KEY, directory / ADMINISTRATOR_KEY
    try:
        if agent.exists() and not administrator.exists():
            raise StateError(
                f"{administrator} is missing: restore it, or remove {agent} too, upon which the agent is a"
                " new one and every device has to enrol again"
            )
        if not administrator.exists():
            write_once(administrator, environment.random(ED448_SEED_SIZE))
        key = Ed448Key(read_private(administrator))
        if not agent.exists():
            write_once(agent, _new_identity(environment, key, post_quantum).to_bytes())
        identity = Identity.from_bytes(read_private(agent))
    except OSError as error:
        raise StateError(f"{error.filename} cannot be used: {error.strerror}") from None
    except StateError:
        raise
    except LocalError as error:
        raise StateError(f"a key in {directory} is damaged, restore it from a backup: {error}") from None
    if identity.profile.administrator != key.public:
        raise StateError(f"{administrator} does not belong to {agent}: restore both from the same backup")
    return AgentKeys(identity, key)


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
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # unlike a rename, never replaces
    finally:
        os.unlink(temporary)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _new_identity(environment: Environment, administrator: Ed448Key, post_quantum: bool) -> Identity:
    return Identity.create(
        "host",
        clean(socket.gethostname(), MAXIMUM_DESCRIPTION),
        environment.random,
        environment.wall(),
        post_quantum and signatures.available(),
        administrator=administrator.public,
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
