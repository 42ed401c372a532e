"""What the link knows of requests: operations by name, who awaits an answer, who takes a stream's pushes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from myclerk_protocol.client_state import PendingRequest
from myclerk_protocol.operations import REGISTRY, Operation, Registry
from myclerk_protocol.schema import MapType, Schema
from myclerk_protocol.status import LocalError, MalformedMessage, MyClerkError


class PushTarget(Protocol):
    """What receives the pushes of one open stream."""

    def pushed(self, fields: Mapping[str, Any]) -> None:
        """One push, decoded by the schema of its operation."""

    def position(self) -> Mapping[str, Any]:
        """The fields of the STREAM_CONFIGURE that continues the stream after a resume."""

    def lost(self, error: MyClerkError) -> None:
        """The stream is over and cannot be continued."""


class Call(PendingRequest):
    """A request with who awaits it. ``deadline`` is event loop time, or None."""

    __slots__ = ("compress", "deadline", "future", "name", "response", "stream")

    def __init__(
        self,
        name: str,
        opcode: int,
        tier: int,
        payload: bytes,
        response: MapType,
        future: asyncio.Future[dict[str, Any]],
    ) -> None:
        super().__init__(0, opcode, tier, payload)
        self.name = name
        self.response = response
        self.future = future
        self.deadline: float | None = None
        self.stream: PushTarget | None = None
        self.compress = False


class Operations:
    """What the link knows of operations: code and payload rules by name, push rules by code."""

    def __init__(self, registry: Registry = REGISTRY, schema: Schema | None = None) -> None:
        self._registry = registry
        self._schema = schema or Schema.load()
        self._by_name: dict[str, tuple[int, int, MapType, MapType]] = {}
        self._pushes: dict[int, MapType] = {}

    def by_name(self, name: str) -> tuple[int, int, MapType, MapType]:
        """Code, minimum tier, request rule and response rule. Raises LocalError for an unknown name."""
        found = self._by_name.get(name)
        if found is None:
            operation = self._registry.by_name(name)
            request, response = self._schema.request(name), self._schema.response(name)
            if request is None or response is None:
                raise LocalError(f"{name} is no request of this protocol")
            found = operation.code, max(operation.minimum_tier, 3), request, response
            self._by_name[name] = found
        return found

    def raise_tier(self, name: str, tier: int) -> None:
        """Send an operation at ``tier`` from now on."""
        code, _, request, response = self.by_name(name)
        self._by_name[name] = code, tier, request, response

    def extended(self, operations: Iterable[Operation], schema: str, source: str) -> Operations:
        """These operations and those of a third-party driver, with the CDDL of their payloads.

        ``source`` names the CDDL in errors. Raises LocalError when they clash with others.
        """
        return Operations(self._registry.extended(operations), self._schema.extended(schema, source))

    def push(self, code: int) -> MapType:
        """The rule of an operation's pushes. Raises MalformedMessage when it has none."""
        rule = self._pushes.get(code)
        if rule is None:
            operation = self._registry.by_code(code)
            found = self._schema.push(operation.name) if operation is not None else None
            if found is None:
                raise MalformedMessage(f"operation 0x{code:04X} is never pushed")
            rule = self._pushes[code] = found
        return rule
