"""The serial driver: its ports, its settings, and how one is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..base import Access, Driver, Resource, StreamType, serves
from ..context import DriverContext
from . import configuration
from .holders import OPEN_TTYS, Use, open_descriptor
from .listing import list_extra, list_ports
from .port import SerialPort
from .simulated import SimulatedSerial
from .tty import OpenTty

USE = Use("this agent's serial driver", "it is open as a serial port: close it there first")


class SerialDriver(Driver):
    """Serial ports as ``serial:NAME``, each also under the names of the links that udev made for it."""

    kind = "serial"
    handles = (SerialPort,)
    stream_type = StreamType.SERIAL
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "ports": ({}, "Further ports, name = device path: ptys, links that udev does not list."),
        "hide": ([], "Names of ports that are not offered, without `serial:`."),
        "modem_poll_interval": (0.01, "Seconds between looks at the modem lines while they are watched."),
    }

    def __init__(self, context: DriverContext, simulation: SimulatedSerial | None = None) -> None:
        """Raises ValueError for settings that make no sense."""
        super().__init__(context)
        self._simulation = simulation
        given = {name: context.settings.get(name, default) for name, (default, _) in self.settings.items()}
        self._extra, self._hidden, self._interval = _checked(given)

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> SerialDriver:
        """The driver of the ports that ``table`` describes (:mod:`.simulated`)."""
        simulation = SimulatedSerial.from_description(table)
        driver = cls(context, simulation)
        simulation.start(context)
        return driver

    def close(self) -> None:
        """Take simulated ports away."""
        if self._simulation is not None:
            self._simulation.close()

    def resources(self) -> Iterable[Resource]:
        """All ports there are now."""
        in_use = OPEN_TTYS.numbers()
        if self._simulation is not None:
            return list_extra(self._simulation.paths, in_use)
        return list_ports(self._extra, self._hidden, in_use)

    @serves("SERIAL_PORT_LIST", access=Access.READ)
    def list_ports(self) -> Mapping[str, Any]:
        """{``ports``}: name and properties of every port; who may not read one is not shown it."""
        return {"ports": [{"name": port.name, **port.properties} for port in self.resources()]}

    @serves("SERIAL_PORT_OPEN", access=Access.READ_WRITE, slow=True, audit=True)
    def open_port(self, resource: Resource, **settings: Any) -> SerialPort:
        """Open ``resource`` with ``settings``, by default 9600 8N1 without flow control, held exclusively.

        Settings: ``baud`` (1 to 2^32-1), ``data_bits`` (5-8), ``parity`` (none, even, odd, mark, space),
        ``stop_bits`` (1, 2), ``rts_cts``, ``xon_xoff``, ``exclusive``, ``hang_up_on_close``, ``rs485``
        (:mod:`.rs485`), ``dtr``, ``rts``. The port is in raw mode, whatever it was before. Raises BadRequest,
        NotFound; Conflict when it is in use; Unsupported for a setting that the kernel did not take;
        HardwareError, DeviceGone. The settings of a port that is not opened stay what they were.
        """
        configuration.check(settings)
        name, path = resource.name, resource.properties["path"]
        with OPEN_TTYS.reserve(path, USE) as place:
            fd = open_descriptor(path)
            try:
                wanted = {**configuration.OPENING_DEFAULTS, **settings}
                effective = configuration.configure(fd, name, wanted)
            except BaseException:
                os.close(fd)
                raise
            place.tty = tty = OpenTty(fd, name, self.context)
            tty.exclusive = wanted["exclusive"]
        return SerialPort(resource, tty, effective, self._interval)

    def stream_access(self, options: Mapping[str, Any]) -> Access:
        """As SERIAL_PORT_OPEN: opening sets rate and modem lines."""
        return Access.READ_WRITE

    def open_stream_handle(self, resource: Resource, options: Mapping[str, Any]) -> SerialPort:
        """As :meth:`open_port`, with ``options`` as its settings."""
        return self.open_port(resource, **options)


def _checked(given: Mapping[str, Any]) -> tuple[dict[str, str], list[str], float]:
    ports, hidden, interval = given["ports"], given["hide"], given["modem_poll_interval"]
    if not all(isinstance(path, str) and os.path.isabs(path) for path in ports.values()):
        raise ValueError("the serial driver's `ports` must be a table of names and absolute device paths")
    if not all(isinstance(name, str) for name in hidden):
        raise ValueError("the serial driver's `hide` must be a list of names")
    if not 0.001 <= interval <= 60:
        raise ValueError("the serial driver's `modem-poll-interval` must lie between 0.001 and 60 seconds")
    return dict(ports), list(hidden), float(interval)
