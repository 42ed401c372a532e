"""``make run``: an agent on loopback with a demo serial port, the local command line paired, a short tour.

The state lies in .run beside the Makefile and is made anew each time. The demo port is a pty with an echo
behind it; whatever ports this machine really has are offered, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import tty
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = ROOT / ".run"
PORT = int(os.environ.get("MYCLERK_DEMO_PORT", "5657"))
BIN = Path(sys.executable).parent


def say(text: str = "") -> None:
    """A line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def echo_device() -> tuple[int, str]:
    """A pty with an echo behind it: its master, and the path of the tty."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def echo() -> None:
        while True:
            select.select([master], [], [])
            try:
                data = os.read(master, 65536)
                while data:
                    data = data[os.write(master, data) :]
            except OSError:
                time.sleep(0.05)

    threading.Thread(target=echo, daemon=True).start()
    path = os.ttyname(slave)
    return slave, path


def start_agent(tty_path: str) -> subprocess.Popen[bytes]:
    """The agent, listening on loopback only."""
    config = RUN / "agent.toml"
    config.write_text(f"""\
[server]
listen = ["127.0.0.1:{PORT}"]
unix-socket = "{RUN}/agent.sock"
[state]
directory = "{RUN}/state"
[drivers.serial]
ports = {{demo = "{tty_path}"}}
""")
    log = (RUN / "agent.log").open("wb")
    agent = subprocess.Popen(
        [BIN / "myclerk-agent", "--config", config, "run"], stdout=log, stderr=log, start_new_session=True
    )
    for _ in range(600):
        if (RUN / "agent.sock").exists():
            return agent
        if agent.poll() is not None:
            break
        time.sleep(0.05)
    say((RUN / "agent.log").read_text())
    raise SystemExit(f"The agent did not start. Is port {PORT} in use? Set MYCLERK_DEMO_PORT to another.")


def show(*words: str, input: bytes | None = None) -> None:
    """Run a command as the reader would, and show both."""
    say(f"\n$ {' '.join(words)}")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(RUN / "config")}
    result = subprocess.run([BIN / words[0], *words[1:]], env=environment, input=input, capture_output=True)
    sys.stdout.flush()
    sys.stdout.buffer.write(result.stdout + result.stderr)
    sys.stdout.buffer.flush()
    if result.returncode:
        raise SystemExit(f"that failed with exit code {result.returncode}")


def tour() -> None:
    """Pair the local command line and show what it can do."""
    invitation = json.loads(
        subprocess.run(
            [BIN / "myclerk-agent", "--config", RUN / "agent.toml", "invite", "--json", "--host", "127.0.0.1",
             "--name", "this desktop"],
            check=True, capture_output=True,
        ).stdout
    )  # fmt: skip
    show("myclerk", "pair", invitation["link"], "--name", "demo")
    show("myclerk", "boards")
    show("myclerk", "devices")
    show("myclerk", "ping")
    show("myclerk", "serial", "console", "demo", input=b"Hello through an encrypted session.\n")


def main() -> int:
    """Start, show, and keep running until interrupted."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir()
    _, path = echo_device()
    agent = start_agent(path)
    try:
        say(f"The agent listens on 127.0.0.1:{PORT}; its log is {RUN.relative_to(ROOT)}/agent.log.")
        tour()
        say(f"""
The agent keeps running. In another terminal, in this directory:
  export XDG_CONFIG_HOME={RUN}/config PATH={BIN}:$PATH
  myclerk serial console demo        type, see it echoed; leave with Ctrl-] q
  myclerk serial link demo           a local tty that any program can open
Ctrl-C ends it.""")
        with contextlib.suppress(KeyboardInterrupt):
            return agent.wait()
        return 0
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(20)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main())
