"""No operation of any driver gets past the rules: each is asked for with every mode of access there is.

The drivers are the installed ones, with methods that only note that they were called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_dispatch import Session

from myclerk_agent.access import AccessRules, Rule, Sharing, Standing
from myclerk_agent.audit import Audit
from myclerk_agent.dispatch import Binding, Dispatcher
from myclerk_agent.drivers import AgentContext, installed
from myclerk_agent.environment import SYSTEM
from myclerk_agent.rights import Rights
from myclerk_drivers.base import Access, Driver, Handle, Resource, served_by
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import Status
from samples import request_of

SOMEONE = "someone"
DRIVERS: dict[str, type[Driver]] = {name: point.load() for name, point in installed().items()}
ON_HANDLES = sorted({op for d in DRIVERS.values() for handle in d.handles for op in served_by(handle)})
ON_DRIVERS = sorted({op for d in DRIVERS.values() for op in served_by(d)})
MODES = list(Access)


def noting(owner: type, calls: list[str]) -> dict[str, Any]:
    """The methods of a driver or handle, marked as they are, that do nothing but note the call."""

    def method(operation: str, marking: object) -> Callable[..., None]:
        def note(*_: Any, **__: Any) -> None:
            calls.append(operation)

        note.__myclerk__ = marking  # type: ignore[attr-defined]
        return note

    return {name: method(operation, marking) for operation, (name, marking) in served_by(owner).items()}


def stand_in_handles(driver: type[Driver], calls: list[str]) -> tuple[type[Handle], ...]:
    """Handle classes with the same operations and the same bases among themselves."""
    made: dict[type, type[Handle]] = {}
    for handle in driver.handles:
        base = next((made[each] for each in handle.__mro__[1:] if each in made), Handle)
        own = {name: call for name, call in noting(handle, calls).items() if not hasattr(base, name)}
        members = {**own, "shared": handle.shared, "close": lambda self: None}
        made[handle] = type(handle.__name__, (base,), members)
    return tuple(made.values())


def stand_in(driver: type[Driver], calls: list[str]) -> Driver:
    """A driver with the same operations, and one resource: ``KIND:thing``, also called ``KIND:alias``."""
    context = AgentContext(driver.kind, {}, asyncio.get_running_loop())
    thing = Resource(f"{driver.kind}:thing", aliases=(f"{driver.kind}:alias",))
    members = {
        **noting(driver, calls),
        "kind": driver.kind,
        "handles": stand_in_handles(driver, calls),
        "resources": lambda self: [thing],
    }
    made: Driver = type(driver.__name__, (Driver,), members)(context)
    return made


class Board:
    """A dispatcher with all installed drivers' operations."""

    def __init__(self, directory: Path) -> None:
        self.calls: list[str] = []
        self.registry, self.schema = REGISTRY, Schema.load()
        self.dispatcher = Dispatcher(self.registry, self.schema, Audit(directory, SYSTEM))
        for driver in DRIVERS.values():
            self.dispatcher.bind_driver(stand_in(driver, self.calls))

    def session(self, rights: Rights) -> Session:
        return Session(self, rights)  # type: ignore[arg-type]

    def rights(self, *rules: tuple[str, Access], sharing: Sharing | None = None) -> Rights:
        made = [Rule(SOMEONE, pattern, access) for pattern, access in rules]
        known = AccessRules(made, {SOMEONE: Standing()}, sharing=sharing)
        return Rights.of(SOMEONE, SOMEONE, known, self.dispatcher.inventory)

    def open(self, session: Session, binding: Binding) -> int:
        """A handle as the operation is for, as if the session had opened it when it still might."""
        assert binding.driver is not None
        handle: Handle = binding.handle_type(next(iter(binding.driver.resources())))
        return session.holdings.add_handle(handle, Access.NONE)

    async def ask(self, session: Session, binding: Binding, name: str = "thing") -> int:
        """The status of one request for an operation; what it needs of a handle is opened before."""
        hints: dict[str, Any] = {}
        if binding.target == "handle":
            hints["handle"] = self.open(session, binding)
        elif binding.target == "resource":
            hints["resource"] = f"{binding.driver.kind if binding.driver else ''}:{name}"
        fields = request_of(binding.request, hints)
        answer = await session.later(session.ask(binding.operation.name, **fields))
        return int(answer.get("status", 0))


Story = Callable[[Board], Any]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Story], None]]:
    def run(story: Story) -> None:
        async def told() -> None:
            board = Board(tmp_path)
            try:
                await story(board)
            finally:
                board.dispatcher.close()

        asyncio.run(told())

    return run


@pytest.mark.parametrize("operation", [*ON_DRIVERS, *ON_HANDLES])
def test_an_operation_is_served_to_whom_its_declared_need_is_granted(
    run: Callable[[Story], None], operation: str
) -> None:
    async def story(board: Board) -> None:
        binding = board.dispatcher.served[operation]
        kind = binding.kind
        for mode in MODES:
            for rules in (
                [("*", mode)],
                [("*", Access.EXCLUSIVE), (f"{kind}:*", mode)],
                [(f"{kind}:thing", mode)],
            ):
                if binding.target == "driver" and rules[0][0] == f"{kind}:thing":
                    continue
                session = board.session(board.rights(*rules))
                board.calls.clear()
                status = await board.ask(session, binding)
                allowed = mode.allows(binding.access)
                assert (status == Status.FORBIDDEN) is not allowed, (mode, rules)
                assert board.calls == [operation] * allowed, (mode, rules)
                session.holdings.release()

    run(story)


@pytest.mark.parametrize("operation", [op for op in ON_DRIVERS if not op.endswith("_LIST")])
def test_no_operation_tells_of_what_is_not_shared(run: Callable[[Story], None], operation: str) -> None:
    async def story(board: Board) -> None:
        binding = board.dispatcher.served[operation]
        assert binding.target == "resource"
        hidden = board.session(board.rights(("*", Access.EXCLUSIVE), sharing=Sharing(())))
        for name in ("thing", "alias", "nothing"):
            assert await board.ask(hidden, binding, name) == Status.NOT_FOUND
        assert board.calls == []
        rule = (f"{binding.kind}:alias", Access.READ_WRITE)
        assigned = board.session(board.rights(rule, sharing=Sharing(())))
        assert await board.ask(assigned, binding) == Status.OK
        assert board.calls == [operation]

    run(story)


@pytest.mark.parametrize("operation", ON_HANDLES)
def test_a_handle_that_was_opened_before_gives_no_more(run: Callable[[Story], None], operation: str) -> None:
    async def story(board: Board) -> None:
        binding = board.dispatcher.served[operation]
        for mode in MODES:
            session = board.session(board.rights(("*", Access.READ_WRITE)))
            number = board.open(session, binding)
            board.calls.clear()
            session.holdings.change_rights(board.rights((f"{binding.kind}:thing", mode)))
            fields = request_of(binding.request, {"handle": number})
            status = (await session.later(session.ask(operation, **fields))).get("status", 0)
            allowed = mode.allows(binding.access)
            assert (status == Status.FORBIDDEN) is not allowed, mode
            assert board.calls == [operation] * allowed, mode
            session.holdings.release()

    run(story)


def test_the_walk_is_of_all_that_is_installed() -> None:
    assert {"serial", "gpio", "i2c", "spi", "can", "onewire", "usb"} <= set(DRIVERS)
    assert len(ON_HANDLES) + len(ON_DRIVERS) > 60
