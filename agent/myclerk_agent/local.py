"""What the commands beside the running agent ask of it, over its Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from myclerk_protocol.events import Response
from myclerk_protocol.framing import Deframer, frame
from myclerk_protocol.local import LocalClientSession
from myclerk_protocol.operations import REGISTRY
from myclerk_protocol.payloads import unpack
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import ServiceUnavailable, error_from_fields

TIMEOUT = 10.0


class NotRunning(ServiceUnavailable):
    """No agent listens on the Unix socket."""


def ask(path: Path, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Send one request to the agent that listens on ``path``; its answer's fields, by Python name.

    Raises NotRunning, the agent's error, or ServiceUnavailable when it does not answer in 10 s.
    """
    schema = Schema.load()
    request, response = schema.request(operation), schema.response(operation)
    assert request is not None
    assert response is not None
    session, deframer = LocalClientSession(), Deframer()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise NotRunning(f"no agent answers on {path}: {error.strerror}") from None
        session.request(REGISTRY.by_name(operation).code, request.encode(fields))
        try:
            connection.sendall(b"".join(frame(message) for message in session.outbox.take()))
            while (message := deframer.next(session.message_limit)) is None:
                data = connection.recv(65536)
                if not data:
                    raise ServiceUnavailable("the agent closed the connection; are you root, or its user?")
                deframer.feed(data)
        except OSError as error:
            raise ServiceUnavailable(f"the agent does not answer: {error}") from None
    for event in session.receive(message):
        if not isinstance(event, Response):  # the first one says that the session is open
            continue
        answer = unpack(event.payload) if len(event.payload) else {}
        if answer.get("status", 0):
            raise error_from_fields(answer)
        return response.decode_map(answer)
    raise ServiceUnavailable("the agent's answer makes no sense")
