"""Drivers: found by entry point, given their narrow view of the agent."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from myclerk_drivers.base import Driver
from myclerk_drivers.context import Timer

from .config import Config, check_driver_settings
from .simulation import Simulation
from .toml_source import ConfigError

GROUP = "myclerk.drivers"
T = TypeVar("T")
log = logging.getLogger("myclerk.drivers")


class AgentContext:
    """The agent as one driver sees it (:class:`myclerk_drivers.context.DriverContext`)."""

    def __init__(self, name: str, settings: Mapping[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.log = logging.getLogger(f"myclerk.drivers.{name}")
        self._loop = loop

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` can be read."""
        self._loop.add_reader(fd, callback)

    def remove_reader(self, fd: int) -> None:
        """Stop watching for reading."""
        self._loop.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` can be written."""
        self._loop.add_writer(fd, callback)

    def remove_writer(self, fd: int) -> None:
        """Stop watching for writing."""
        self._loop.remove_writer(fd)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once after ``seconds``."""
        return self._loop.call_later(seconds, callback)

    def run_blocking(self, function: Callable[[], T]) -> Awaitable[T]:
        """Run a call that may block on a daemon thread of its own, which never delays the agent's exit."""
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                outcome: Callable[[], None] = _setter(future.set_result, function())
            except BaseException as error:
                outcome = _setter(future.set_exception, error)
            try:
                self._loop.call_soon_threadsafe(lambda: None if future.done() else outcome())
            except RuntimeError:  # the loop is closed: the agent has stopped
                return

        threading.Thread(target=run, daemon=True, name="myclerk blocking call").start()
        return future


def _setter(put: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: put(value)


def installed() -> dict[str, EntryPoint]:
    """The drivers that are installed: name -> entry point."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_classes(config: Config) -> dict[str, type[Driver]]:
    """The driver classes that the settings do not switch off.

    A driver that cannot be imported is logged and left out: the other buses still work. Raises ConfigError
    for a setting that names no installed driver.
    """
    points = installed()
    for name in (*config.drivers.disabled, *config.drivers.settings):
        if name not in points:
            path = ("drivers", name) if name in config.drivers.settings else ("drivers", "disabled")
            known = ", ".join(sorted(points)) or "none"
            raise config.source.error(path, f"no driver `{name}` is installed; there are: {known}")
    classes: dict[str, type[Driver]] = {}
    for name, point in sorted(points.items()):
        if name in config.drivers.disabled:
            continue
        try:
            loaded = point.load()
        except Exception as error:
            log.error("driver %s cannot be loaded and is left out: %s", name, error)
            continue
        if not (isinstance(loaded, type) and issubclass(loaded, Driver)):
            log.error("entry point %s names no driver class and is left out", point.value)
            continue
        classes[name] = loaded
    return classes


def start(
    classes: Mapping[str, type[Driver]], config: Config, loop: asyncio.AbstractEventLoop
) -> list[Driver]:
    """Build the drivers with their settings. Raises ConfigError for a setting a driver does not have."""
    if config.simulation is not None:
        return _start_simulated(classes, config, config.simulation, loop)
    drivers = []
    for name, cls in classes.items():
        try:
            drivers.append(cls(_context(name, cls, config, loop)))
        except ConfigError:
            raise
        except Exception as error:
            log.error("driver %s cannot start and is left out: %s", name, error)
    return drivers


def _start_simulated(
    classes: Mapping[str, type[Driver]],
    config: Config,
    simulation: Simulation,
    loop: asyncio.AbstractEventLoop,
) -> list[Driver]:
    """The drivers that the description names, on what it describes. Raises ConfigError for what it gets wrong."""
    drivers = []
    for name, table in simulation.tables.items():
        if name not in classes:
            known = ", ".join(sorted(classes)) or "none"
            raise simulation.source.error((name,), f"no driver `{name}` can be used; there are: {known}")
        try:
            drivers.append(classes[name].simulated(_context(name, classes[name], config, loop), table))
        except ValueError as error:
            raise simulation.source.error((name,), str(error)) from None
    log.warning("simulating %s: no hardware of this machine is served", ", ".join(simulation.tables))
    return drivers


def _context(name: str, cls: type[Driver], config: Config, loop: asyncio.AbstractEventLoop) -> AgentContext:
    given = config.drivers.settings.get(name, {})
    return AgentContext(name, check_driver_settings(name, given, cls.settings, config.source), loop)
