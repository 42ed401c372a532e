"""A pty, and a UART behind it, for each test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ptys import Pty, Uart, a_pty


@pytest.fixture
def pty() -> Iterator[Pty]:
    """A pseudo-terminal."""
    with a_pty() as pty:
        yield pty


@pytest.fixture
def uart(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> Uart:
    """Modem lines and the like for that pseudo-terminal."""
    return Uart(monkeypatch)
