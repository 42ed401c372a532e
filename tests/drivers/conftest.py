"""What every test of a driver gets: both event loops, and a look at what it left open."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end, on each kind of event loop; threads it started have ended then."""
    factory = importlib.import_module("uvloop").new_event_loop if request.param == "uvloop" else None

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

    return run


@pytest.fixture(autouse=True)
def _no_descriptor_left() -> Iterator[None]:
    """A driver gives back every descriptor it opened."""
    before = _open_descriptors()
    yield
    left = {fd: path for fd, path in _open_descriptors().items() if before.get(fd) != path}
    assert not left, f"left open: {left}"


def _open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one that listed them
            continue
        if target.startswith("/dev/"):
            found[int(name)] = target
    return found
