"""What the agent tells systemd (sd_notify(3)): that it is ready, stopping, alive, and how it is.

Outside systemd (no NOTIFY_SOCKET) every call does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the socket that NOTIFY_SOCKET names in ``environ``; a path, or ``@`` and an abstract name.

    ``watchdog_interval`` is how often, in seconds, :meth:`watchdog` is to be called (half of what systemd
    allows), or None when it does not watch this process.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval = _watchdog_interval(environ)

    def ready(self) -> None:
        """The agent serves connections."""
        self._send("READY=1")

    def stopping(self, seconds: float) -> None:
        """The agent has begun to stop, which may take ``seconds``, whatever TimeoutStopSec says."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={seconds * 1_000_000:.0f}")

    def watchdog(self) -> None:
        """The event loop is alive. Not to be called once it stops: that would have systemd watch it again."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send("STATUS=" + text.replace("\n", " "))

    def _send(self, state: str) -> None:
        """Send without waiting; a service manager that does not listen is no reason to fail."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
            try:
                notify.sendto(state.encode(errors="replace"), self._address)
            except OSError:
                return


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        process = int(environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 2_000_000 if microseconds > 0 and process == os.getpid() else None
