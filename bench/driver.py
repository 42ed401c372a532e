"""A third party's driver with one quick operation on an open handle, as a GPIO line has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from myclerk_client.calls import Operations
from myclerk_drivers.base import Access, Driver, Handle, Resource, serves
from myclerk_protocol.operations import REGISTRY, Operation
from myclerk_protocol.schema import Schema

RESOURCE = "bench:0"


def _operation(code: int, name: str, description: str) -> Operation:
    return Operation(code, name, "bench", 3, code, None, description)


class QuickHandle(Handle):
    """An open resource that takes a value and gives it back."""

    @serves("BENCH_SET", access=Access.WRITE)
    def set_value(self, value: int) -> Mapping[str, int]:
        """{``value``}, at once."""
        return {"value": value}

    def close(self) -> None:
        """Nothing to release."""


class QuickDriver(Driver):
    """One resource, ``bench:0``."""

    kind = "bench"
    handles = (QuickHandle,)
    operations = (
        _operation(0xF0B0, "BENCH_OPEN", "Open the resource"),
        _operation(0xF0B1, "BENCH_SET", "Take a value and give it back"),
    )
    schema = """\
bench-open-request = { resource: resource-name }
bench-open-response = { handle: handle-number }
bench-set-request = { handle: handle-number, value: uint }
bench-set-response = { value: uint }
"""

    def resources(self) -> Iterable[Resource]:
        """The one resource."""
        return (Resource(RESOURCE),)

    @serves("BENCH_OPEN", access=Access.WRITE)
    def open_resource(self, resource: Resource) -> QuickHandle:
        """Open it."""
        return QuickHandle(resource)


def client_operations() -> Operations:
    """What a client must know to ask for these operations."""
    return Operations(REGISTRY.extended(QuickDriver.operations), Schema.load().extended(QuickDriver.schema))


def install(directory: Path) -> None:
    """Make the driver an installed one for every process that has ``directory`` on its path.

    That takes no more than a distribution's metadata with the entry point, so the agent that is measured is
    the one that users run, to the last line.
    """
    metadata = directory / "bench_driver-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-driver\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        f"[myclerk.drivers]\nbench = {__name__}:{QuickDriver.__name__}\n"
    )
