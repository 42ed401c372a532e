"""What every command shares: the settings, the agent's store and keys, errors of one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from myclerk_drivers.base import Access
from myclerk_protocol.status import MyClerkError, NotFound

from .. import config as configuration
from .. import state
from ..audit import Audit
from ..config import Config
from ..environment import SYSTEM
from ..keys import AgentKeys, load_keys
from ..store import Device, Store

DEFAULT_CONFIG = Path("/etc/myclerk/agent.toml")
ACCESS = {access.name.lower().replace("_", "-"): access for access in Access}


class Failure(click.ClickException):
    """One sentence on standard error, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"myclerk-agent: {self.message}", err=True)


def sentence_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn this project's errors into one sentence."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except MyClerkError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return guarded


class Context:
    """The settings, and the agent's store as its own user sees it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._uid = os.getuid()  # before this goes on as the owner of the state directory

    @contextmanager
    def state_directory(self) -> Iterator[Path]:
        """The state directory, used as its owner."""
        directory = self.config.state.directory
        state.become_owner(directory)
        state.prepare_directory(directory)
        try:
            yield directory
        except OSError as error:
            raise Failure(
                f"{error.filename or directory} cannot be used: {error.strerror or error}"
            ) from None

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The agent's store, opened as the owner of the state directory."""
        with self.state_directory() as directory:
            store = Store(directory / state.DATABASE, SYSTEM)
            try:
                yield store
            finally:
                store.close()

    def keys(self) -> AgentKeys:
        """The agent's keys; made now if it never ran."""
        directory = self.config.state.directory
        return load_keys(directory, SYSTEM, self.config.security.post_quantum_signatures)

    def audit(self, action: str, resource: str, outcome: str = "ok") -> None:
        """Note what an administrator did at this machine's command line, and what came of it."""
        audit = Audit(self.config.state.directory, SYSTEM)
        audit.record(
            "command line", action, resource, outcome, uid=self._uid, sudo=os.environ.get("SUDO_USER")
        )
        audit.close()


def load(path: Path | None, state_directory: Path | None) -> Config:
    """The settings of ``path``, by default those of the machine; ``state_directory`` replaces theirs."""
    if path is None and not DEFAULT_CONFIG.exists():
        config = Config.defaults()
    else:
        config = configuration.load(path or DEFAULT_CONFIG)
    if state_directory is not None:
        config = replace(config, state=replace(config.state, directory=state_directory.absolute()))
    return config


def access_name(access: int) -> str:
    """An access mode as the commands write it: ``read-write``."""
    return Access(access).name.lower().replace("_", "-")


def find_device(devices: list[Device], text: str) -> Device:
    """The one device that ``text`` means: its name, its fingerprint or the start of that. Raises NotFound."""
    start = text.upper().replace("-", "")
    matches = [d for d in devices if d.description == text or (start and d.fingerprint.startswith(start))]
    matches = [d for d in matches if d.revoked_at is None] or matches
    if len(matches) != 1:
        how_many = "no device matches" if not matches else "several devices match"
        raise NotFound(f"{how_many} {text!r}; `myclerk-agent devices` lists them with fingerprints")
    return matches[0]


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Make a private file as who called, before the command goes on as the agent's user; gives what writes it.

    Nothing is left of it when the body fails. Raises Failure when it cannot be made, or is there already.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from None
    try:
        yield partial(state.write_new, descriptor)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
