"""Locks on a board's resources (operations DEVICE_LOCK and DEVICE_UNLOCK)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from myclerk_protocol.status import MyClerkError

from .link import Link

VARIABLE = "MYCLERK_LOCKS"
"""Environment variable: locks that the programs of this process share, as BOARD/RESOURCE=KEY, blanks between them."""


class Lock:
    """A lock taken for the length of a ``async with`` block, or by :meth:`acquire` and :meth:`release`.

    Raises Conflict, naming the holder, when it is not to be had within ``wait`` seconds. Who waits gets it in the
    order of asking. ``key`` is known once it was acquired: another session that is given it shares this lock.
    """

    def __init__(
        self, link: Link, resource: str, wait: float, ttl: float | None, key: bytes | None = None
    ) -> None:
        self._link = link
        self.resource: str = resource
        self.key: bytes | None = key
        self._fields = {"wait": wait, "ttl": ttl} if key is None else {"key": key}

    async def acquire(self) -> None:
        """Take the lock, or begin the time of one that this session has anew."""
        answer = await self._link.request("DEVICE_LOCK", {"resource": self.resource, **self._fields})
        self.key = answer["key"]

    async def release(self) -> None:
        """Give it back. Raises NotFound when it has fallen already, by its ttl or because somebody broke it."""
        await self._link.request("DEVICE_UNLOCK", {"resource": self.resource})

    async def __aenter__(self) -> Lock:
        await self.acquire()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if self._link.closed:
            return
        try:
            await self.release()
        except LookupError:
            if kind is None:  # an error of the block says more than that the lock has fallen
                raise


def exported(board: str, lock: Lock) -> dict[str, str]:
    """Environment variables with which a program shares ``lock`` of this board, beside those it shares already."""
    assert lock.key is not None
    return {VARIABLE: f"{os.environ.get(VARIABLE, '')} {board}/{lock.resource}={lock.key.hex()}".strip()}


async def join_exported(link: Link, board: str) -> None:
    """Share the locks that the environment tells of; those that have fallen meanwhile are left out."""
    for resource, key in _of_board(board):
        with suppress(MyClerkError):  # what is locked says so itself
            await link.request("DEVICE_LOCK", {"resource": resource, "key": key})


def _of_board(board: str) -> Iterator[tuple[str, bytes]]:
    for word in os.environ.get(VARIABLE, "").split():
        name, equals, key = word.rpartition("=")
        if equals and name.startswith(f"{board}/"):
            with suppress(ValueError):
                yield name.removeprefix(f"{board}/"), bytes.fromhex(key)
