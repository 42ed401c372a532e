"""Which event loop the agent runs on."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from myclerk_agent.environment import new_event_loop


@pytest.mark.parametrize(("debug", "fast"), [("", True), ("1", False)])
def test_uvloop_serves_where_it_is_but_not_in_debug_mode(
    monkeypatch: pytest.MonkeyPatch, debug: str, fast: bool
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", debug)
    loop = new_event_loop()
    loop.close()
    fast = fast and find_spec("uvloop") is not None and not sys.flags.dev_mode
    expected = "uvloop" if fast else "asyncio"
    assert type(loop).__module__.partition(".")[0] == expected
