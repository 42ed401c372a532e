"""The driver: one resource, two operations that answer, one that opens a handle."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from myclerk_drivers.base import Access, Driver, Resource, serves

from . import kernel
from .monitor import Monitor
from .operations import OPERATIONS, SCHEMA


class HealthDriver(Driver):
    """The health of this board as the resource ``health:cpu``."""

    kind = "health"
    handles = (Monitor,)
    operations = OPERATIONS
    schema = SCHEMA
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "thermal": ("/sys/class/thermal", "Where the kernel shows its thermal zones."),
    }

    def resources(self) -> Iterable[Resource]:
        """The one resource."""
        processors = os.cpu_count() or 1
        return [Resource("health:cpu", f"{processors} processors", properties={"processors": processors})]

    @serves("HEALTH_READ", access=Access.READ)
    def read(self, resource: Resource) -> Mapping[str, Any]:
        """Load, uptime and memory. Quick: three small reads from memory, some twenty microseconds."""
        load_1, load_5, load_15 = kernel.loads()
        total, available = kernel.memory()
        return {
            "load_1": load_1,
            "load_5": load_5,
            "load_15": load_15,
            "uptime": kernel.uptime(),
            "memory_total": total,
            "memory_available": available,
        }

    @serves("HEALTH_TEMPERATURES", access=Access.READ, slow=True)
    def temperatures(self, resource: Resource) -> Mapping[str, Any]:
        """{``zones``}. Slow: the kernel may have to ask each sensor over a bus."""
        return {"zones": list(kernel.zones(Path(self.context.settings["thermal"])))}

    @serves("HEALTH_MONITOR_OPEN", access=Access.READ, audit=True)
    def open_monitor(self, resource: Resource) -> Monitor:
        """Begin to measure; the times so far are what the first look is compared with."""
        return Monitor(resource, self.context)
