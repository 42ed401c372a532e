"""Every installed driver's methods take what the CDDL gives, and give what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from myclerk_agent.drivers import installed
from myclerk_agent.service import SYSTEM_OPERATIONS
from myclerk_drivers.base import served_by
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.schema import Schema

AGENTS_BUSINESS = {"handle", "resource", "credit_to", "compress"}


def served() -> Iterator[Any]:
    owners: list[tuple[str, type]] = [("agent", owner) for owner in SYSTEM_OPERATIONS]
    for name, point in installed().items():
        driver = point.load()
        owners += [(name, owner) for owner in (driver, *driver.handles)]
    for name, owner in owners:
        for operation, (method, _) in served_by(owner).items():
            yield pytest.param(
                operation, getattr(owner, method), owner in SYSTEM_OPERATIONS, id=f"{name} {operation}"
            )


@pytest.mark.parametrize(("operation", "method", "system"), list(served()))
def test_parameters_are_the_fields_of_the_request(
    operation: str, method: Callable[..., Any], system: bool
) -> None:
    rule = Schema.load().request(operation)
    assert rule is not None
    parameters = dict(inspect.signature(method).parameters)
    parameters.pop("self")
    if system:
        parameters.pop("holdings")
    business = {"credit_to", "compress"} - set(parameters) if system else AGENTS_BUSINESS
    fields = {field.name: field for field in rule.fields if field.name not in business}
    parameters.pop("resource", None) if not system else None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        assert not [name for name, field in fields.items() if field.required and name not in parameters]
        return
    assert set(parameters) == set(fields)
    for name, field in fields.items():
        optional = parameters[name].default is not inspect.Parameter.empty
        assert optional is not field.required, f"{name} of {operation}"


@pytest.mark.parametrize(("operation", "method", "system"), list(served()))
def test_each_operation_is_documented(operation: str, method: Callable[..., Any], system: bool) -> None:
    assert method.__doc__
    assert REGISTRY.by_name(operation)


def test_all_nine_serial_operations_are_served() -> None:
    driver = installed()["serial"].load()
    found = {operation for owner in (driver, *driver.handles) for operation in served_by(owner)}
    assert found == {op.name for op in REGISTRY if 0x0610 <= op.code <= 0x0618}
