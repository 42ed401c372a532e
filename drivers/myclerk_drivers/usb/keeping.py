"""Remembers which interfaces were taken from which drivers, so that they are given back even after a crash."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .listing import NAME, Listing
from .usbfs import Usbfs

USBFS = "usbfs"
"""The name of the kernel's driver while a program has an interface."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A device before it was attached: ``number`` is its address on the bus, ``interfaces`` those with drivers."""

    name: str
    number: int
    configuration: int | None
    interfaces: tuple[int, ...]


class Records:
    """One small file for each device that is attached, in ``directory``. Thread-safe: a device is in one hand.

    What was noted before the last boot is forgotten: then the kernel's drivers have bound again by themselves.
    """

    def __init__(self, directory: Path, log: logging.Logger, boot: str | None = None) -> None:
        self._directory = directory
        self._log = log
        self._boot = _boot_id() if boot is None else boot

    def note(self, taken: Taken) -> None:
        """Keep in mind what is about to be taken. A directory that cannot be written is logged, no more."""
        path = self._directory / taken.name
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.with_suffix(".new").write_text(json.dumps({**asdict(taken), "boot": self._boot}))
            path.with_suffix(".new").replace(path)
        except OSError as error:
            self._log.warning(
                "%s cannot be written, so after a crash of the agent %s would stay without its driver: %s",
                path, taken.name, error.strerror,
            )  # fmt: skip

    def forget(self, name: str) -> None:
        """It was given back, or has left."""
        with suppress(OSError):
            (self._directory / name).unlink(missing_ok=True)

    def left(self) -> Iterator[Taken]:
        """What an agent that crashed did not give back."""
        try:
            paths = sorted(self._directory.iterdir())
        except OSError:
            return
        for path in paths:
            if not NAME.fullmatch(path.name):
                continue
            try:
                found = json.loads(path.read_text())
                if found["boot"] != self._boot:
                    raise ValueError("of an earlier boot")
                taken = Taken(
                    path.name,
                    int(found["number"]),
                    found["configuration"],
                    tuple(map(int, found["interfaces"])),
                )
            except (OSError, ValueError, KeyError, TypeError):
                self.forget(path.name)
                continue
            yield taken

    def restore(self, listing: Listing) -> None:
        """Give back what was left, if it is still there. May block for as long as drivers take to bind."""
        for taken in self.left():
            device = listing.device(taken.name)
            if device is not None and device.number == taken.number:
                state = listing.state(device)
                if USBFS in state.drivers.values():
                    continue  # another agent, or another program, has it
                try:
                    usbfs = Usbfs(device.node)
                    try:
                        give_back(usbfs, taken, state.configuration)
                    finally:
                        usbfs.close()
                    self._log.info("%s was given back to the kernel's drivers", device.resource_name)
                except OSError as error:  # the next start tries again
                    self._log.warning("%s could not be given back: %s", device.resource_name, error.strerror)
                    continue
            self.forget(taken.name)


def give_back(usbfs: Usbfs, taken: Taken, configuration: int | None, claimed: Iterable[int] = ()) -> None:
    """Release what is ``claimed`` and let the kernel's drivers have it again, as it was. Raises OSError."""
    for interface in claimed:
        with suppress(OSError):
            usbfs.release(interface)
    if configuration != taken.configuration:  # the kernel binds drivers by itself then
        usbfs.set_configuration(taken.configuration or 0)
        return
    for interface in taken.interfaces:
        try:
            usbfs.connect(interface)
        except OSError as error:
            if error.errno != errno.EBUSY:  # it came with another interface of the same driver
                raise


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def state_directory(text: str) -> Path:
    """The setting ``state``. Raises ValueError unless it is an absolute path."""
    if not os.path.isabs(text):
        raise ValueError("the usb driver's `state` must be an absolute path")
    return Path(text)
