"""The MyClerk wire protocol, sans-IO: bytes in, events out.

Nothing here opens a socket, reads a clock or draws randomness by itself: time and randomness come in
through :class:`myclerk_protocol.environment.Environment`. ``docs/protocol.md`` describes the wire.
"""

__version__ = "0.1.0"
