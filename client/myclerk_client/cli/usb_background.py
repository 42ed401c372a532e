"""Running a command again, apart from this terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from .output import clean

FLAG = "--background"


def log_path() -> Path:
    """Where it goes what such a command says later: ``$XDG_STATE_HOME/myclerk/usb.log``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "myclerk/usb.log"


def in_background() -> None:
    """Run this very command, without :data:`FLAG`, in a session of its own until it has printed a line; print that.

    When it ends before that, end as it does, with what it said.
    """
    path = log_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "myclerk_client.cli", *(word for word in sys.argv[1:] if word != FLAG)]
    with path.open("ab+") as log:
        start = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(  # noqa: S603 (ourselves)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
        assert process.stdout is not None
        with process.stdout:
            line = process.stdout.readline().decode()
        if not line:
            code = process.wait()
            log.seek(start)
            for said in log.read().decode(errors="replace").splitlines():
                click.echo(clean(said), err=True)
            raise click.exceptions.Exit(code)
    process.returncode = 0  # nobody waits for it here
    click.echo(clean(line.rstrip("\n")))
