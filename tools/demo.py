"""``make run``: an agent on loopback with a simulated board, the local command line paired, a short tour.

The state lies in .run beside the Makefile and is made anew each time. The board is examples/board.toml; no
hardware of this machine is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = ROOT / ".run"
DESCRIPTION = ROOT / "examples" / "board.toml"
PORT = int(os.environ.get("MYCLERK_DEMO_PORT", "5657"))
BIN = Path(sys.executable).parent


def say(text: str = "") -> None:
    """A line for the reader, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def start_agent() -> subprocess.Popen[bytes]:
    """The agent, listening on loopback only."""
    config = RUN / "agent.toml"
    config.write_text(f"""\
[server]
listen = ["127.0.0.1:{PORT}"]
unix-socket = "{RUN}/agent.sock"
[state]
directory = "{RUN}/state"
""")
    log = (RUN / "agent.log").open("wb")
    agent = subprocess.Popen(
        [BIN / "myclerk-agent", "--config", config, "run", "--simulate", DESCRIPTION],
        stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    for _ in range(600):
        if (RUN / "agent.sock").exists():
            return agent
        if agent.poll() is not None:
            break
        time.sleep(0.05)
    say((RUN / "agent.log").read_text())
    raise SystemExit(f"The agent did not start. Is port {PORT} in use? Set MYCLERK_DEMO_PORT to another.")


def show(*words: str, input: bytes | None = None, meanwhile: tuple[str, ...] = ()) -> None:
    """Run a command as the reader would, and show both; ``meanwhile`` is one that runs until it has seen it."""
    environment = {**os.environ, "XDG_CONFIG_HOME": str(RUN / "config")}
    watcher = None
    if meanwhile:
        say(f"\n$ {' '.join(meanwhile)} &")
        watcher = subprocess.Popen([BIN / meanwhile[0], *meanwhile[1:]], env=environment)
        time.sleep(2)  # it has no way to say that it watches
    say(f"\n$ {' '.join(words)}")
    result = subprocess.run([BIN / words[0], *words[1:]], env=environment, input=input, capture_output=True)
    sys.stdout.flush()
    sys.stdout.buffer.write(result.stdout + result.stderr)
    sys.stdout.buffer.flush()
    code = result.returncode or (watcher.wait(20) if watcher is not None else 0)
    if code:
        raise SystemExit(f"that failed with exit code {code}")


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
    show("myclerk", "ping")
    show("myclerk", "devices")
    show("myclerk", "gpio", "info")
    show("myclerk", "gpio", "set", "LED=1", "--toggle", "200ms,200ms,0",
         meanwhile=("myclerk", "gpio", "mon", "SENSOR", "--num-events", "2"))  # fmt: skip
    show("myclerk", "i2c", "detect", "1")
    show("myclerk", "i2c", "transfer", "1", "w1@0x50", "0", "r17")
    show("myclerk", "spi", "transfer", "0.1", "9f", "--read", "3")
    show(
        "myclerk",
        "can",
        "send",
        "can0",
        "123#DEADBEEF",
        meanwhile=("myclerk", "can", "dump", "can1", "-n", "1"),
    )
    show("myclerk", "w1", "temp")
    show("myclerk", "serial", "console", "console", input=b"Hello through an encrypted session.\n")


def main() -> int:
    """Start, show, and keep running until interrupted."""
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir()
    agent = start_agent()
    try:
        say(f"The agent listens on 127.0.0.1:{PORT} and simulates {DESCRIPTION.relative_to(ROOT)}.")
        say(f"Its log is {RUN.relative_to(ROOT)}/agent.log.")
        tour()
        say(f"""
The agent keeps running. In another terminal, in this directory:
  export XDG_CONFIG_HOME={RUN}/config PATH={BIN}:$PATH
  myclerk serial console console     type, see it echoed; leave with Ctrl-] q
  myclerk serial link console        a local tty that any program can open
  myclerk gpio mon SENSOR            what LED does: they are wired together
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
