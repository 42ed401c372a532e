"""Saved machines: named by what went into them, made once, kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .image import cache_directory

KEPT = 10
"""Saved machines that stay in the cache; the least recently used ones go."""


def content_hash(*parts: str | bytes | Path) -> str:
    """A short name for these contents; a Path counts with its name and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            digest.update(f"{part.name}:{part.stat().st_size}:".encode())
            digest.update(part.read_bytes())
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def sources(root: Path, patterns: Iterable[str]) -> list[Path]:
    """The files below ``root`` that match, sorted."""
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def saved(name: str, make: Callable[[Path], None]) -> Path:
    """The directory of the saved machine ``name``; ``make`` fills a new one. One maker at a time."""
    shelf = cache_directory() / "machines"
    shelf.mkdir(parents=True, exist_ok=True)
    directory = shelf / name
    with _only_one(shelf / f"{name}.lock"):
        if not directory.exists():
            started = time.monotonic()
            partial = shelf / f"{name}.{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                make(partial)
                partial.rename(directory)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            print(f"virtual board: {name} saved after {time.monotonic() - started:.1f} s", flush=True)
    _prune(shelf)
    return directory


def _prune(shelf: Path) -> None:
    machines = [path for path in shelf.iterdir() if path.is_dir() and path.suffix == ""]
    for old in sorted(machines, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)  # who has a file of it open keeps the file
        (shelf / f"{old.name}.lock").unlink(missing_ok=True)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
