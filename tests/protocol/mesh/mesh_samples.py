"""Shared material for the tests of device trust: repeatable bytes, identities, transcripts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from myclerk_protocol.mesh.profiles import Identity

NOW = 1_790_000_000.0
TRANSCRIPT = hashlib.sha256(b"a session").digest()
OTHER_TRANSCRIPT = hashlib.sha256(b"another session").digest()


def source(label: str) -> Callable[[int], bytes]:
    """Random-looking bytes that are the same on each run, other ones at each call."""
    calls = 0

    def random(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_256(f"{label} {calls}".encode()).digest(size)

    return random


def identity(kind: str = "device", label: str = "", with_pq: bool = False) -> Identity:
    """An identity that depends on the arguments alone."""
    return Identity.create(kind, "bench 4", source(label or kind), NOW, with_pq)
