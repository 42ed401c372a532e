"""Running `myclerk` in this process, and pairing boards that nobody talks to."""

from __future__ import annotations

from collections.abc import Callable

from myclerk_client import KnownBoard, KnownBoards

Run = Callable[..., tuple[int, str, str]]
"""Called with words: exit code, standard output, standard error."""
FINGERPRINT = "MDDKN6A727AJZNOSTRXXKS7DJAFX"


def pair_as(name: str, port: int = 1) -> KnownBoard:
    """Remember a board on this machine, where nobody listens on port 1."""
    fingerprint = FINGERPRINT[: -len(name)] + name.upper()
    return KnownBoards().add(KnownBoard(name, "127.0.0.1", port, fingerprint, "00"))
