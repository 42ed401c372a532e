"""Errors of the client beside those that mirror the statuses (:mod:`myclerk_protocol.status`)."""

from __future__ import annotations

import copy

from myclerk_protocol.status import MyClerkError


def fresh(error: MyClerkError) -> MyClerkError:
    """The same error to raise once more: an instance of its own, so that tracebacks do not pile up."""
    again = copy.copy(error).with_traceback(None)
    again.__cause__ = error.__cause__
    return again


class ConnectionLost(MyClerkError, ConnectionError):
    """The board cannot be reached (any more); the sentence says why."""


class SessionLost(ConnectionLost):
    """The session ended and could not be resumed: its handles are closed, its streams stopped.

    A request that raises this was sent; whether it was executed is not known.
    """


class NotPaired(MyClerkError, LookupError):
    """No board of that name or address is known here; pair it first."""


class AgentNotTrusted(MyClerkError, PermissionError):
    """The agent did not prove to be the one that was pinned at pairing."""
