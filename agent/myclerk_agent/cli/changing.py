"""How commands change what the agent may be using: through the running agent, or in its store where none runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import local
from ..store import Store
from .context import Context


def ask(context: Context, operation: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """One request to the running agent; its answer. Raises NotRunning, and what the agent raises."""
    path = context.config.server.unix_socket
    if path is None:
        raise local.NotRunning("the Unix socket is off")
    return local.ask(path, operation, {key: value for key, value in fields.items() if value is not None})


def change(
    context: Context,
    operation: str,
    fields: Mapping[str, Any],
    instead: Callable[[Store], object],
    about: str,
) -> None:
    """Let the running agent do ``operation``, at once for whoever is connected; else do ``instead`` in the store.

    ``about`` is what the audit log says then. A running agent without a socket notices within a second.
    """
    with context.store() as store:
        try:
            ask(context, operation, fields)
        except local.NotRunning:
            instead(store)
            context.audit(operation, about)
