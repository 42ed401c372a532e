"""Small files that must not be lost or read by others: written whole or not at all, 0600."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from myclerk_protocol.status import LocalError


def config_directory() -> Path:
    """Where the client keeps its identity and its boards: ``$XDG_CONFIG_HOME/myclerk`` or ``~/.config/myclerk``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".config"
    return root / "myclerk"


def write_private(path: Path, data: bytes) -> None:
    """Replace the file at ``path`` by ``data``, readable by its owner alone; all or nothing, synced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def read_private(path: Path) -> bytes | None:
    """The file's content, None if there is no such file. Raises LocalError when others may read it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise LocalError(f"others may read {path}, which holds secrets: chmod 600 {path}")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LocalError(f"{path} cannot be read: {error.strerror}") from None
