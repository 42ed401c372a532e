"""Listening and running: TCP and the Unix socket, signals, systemd, the once-a-second sweep."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from pathlib import Path

from myclerk_protocol.local import LocalAgentSession
from myclerk_protocol.status import LocalError

from . import drivers, preconfigured
from . import log as logs
from .audit import Audit
from .config import Config
from .connection import Connection
from .discovery import Announcement
from .enrolment import Enrolment
from .environment import SYSTEM, prefers_aes
from .keys import load_keys
from .service import Service
from .state import DATABASE, StateError, prepare_directory
from .store import Store
from .systemd import Notifier

log = logging.getLogger("myclerk.agent")

SWEEP_SECONDS = 1.0
LOOP_PATIENCE = 0.05
"""Seconds for which a command that is changing the database may keep the event loop waiting."""
BACKLOG = 128
CLOSING_SECONDS = 50.0
"""What stopping may take beyond the time that running requests get."""


class Server:
    """A running agent. ``start`` listens, ``close`` ends gracefully; ``addresses`` are those bound."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.addresses: list[tuple[str, int]] = []
        self._servers: list[asyncio.Server] = []
        self._unix_path: Path | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self._audit: Audit | None = None
        self._service: Service | None = None
        self._fingerprint = ""
        self._announcement: Announcement | None = None

    @property
    def service(self) -> Service:
        """The agent's service, once started."""
        assert self._service is not None
        return self._service

    async def start(self) -> None:
        """Load keys and drivers, then listen.

        Raises ConfigError, StateError (also for an address that cannot be bound) and StoreError; nothing is
        left behind then.
        """
        try:
            self._build()
            for address in self.config.server.listen:
                await self._listen_tcp(address.host, address.port)
            if self.config.server.unix_socket is not None:
                await self._listen_unix(self.config.server.unix_socket)
        except BaseException:
            await self.close()
            raise
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())
        if self.config.server.announce:
            self._announcement = Announcement(self.addresses, self._fingerprint)
            self._announcement.start()

    def _build(self) -> None:
        config = self.config
        directory = config.state.directory
        prepare_directory(directory)
        keys = load_keys(directory, SYSTEM, config.security.post_quantum_signatures)
        self._store = store = Store(directory / DATABASE, SYSTEM, patience=LOOP_PATIENCE)
        preconfigured.arm(directory, keys, store)
        enrolment = Enrolment(
            keys.identity,
            keys.administrator,
            store,
            SYSTEM,
            further=[named.authority for named in keys.further],
            without_pin=config.security.allow_requests_without_pin,
            post_quantum=config.security.post_quantum_signatures,
        )
        self._audit = audit = Audit(directory, SYSTEM)
        classes = drivers.load_classes(config)
        self._service = service = Service(
            config,
            SYSTEM,
            keys.identity,
            enrolment,
            store,
            audit,
            classes,
            aes=prefers_aes(),
            assertion=keys.assertion,
        )
        for driver in drivers.start(classes, config, asyncio.get_running_loop()):
            try:
                service.dispatcher.bind_driver(driver)
            except (ValueError, LocalError) as error:
                logs.event(log, logging.ERROR, "a driver is left out", driver=driver.kind, reason=error)
        self._fingerprint = keys.identity.fingerprint
        logs.event(log, logging.INFO, "agent identity", fingerprint=self._fingerprint)

    async def _listen_tcp(self, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
        except OSError as error:
            listener.close()
            if family == socket.AF_INET6 and host == "::":  # a kernel without IPv6: IPv4 still serves
                logs.event(log, logging.WARNING, "not listening on IPv6", reason=error.strerror or error)
                return
            raise StateError(f"cannot listen on {host}:{port}: {error.strerror}") from None
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self.service, self.service.remote_session), sock=listener, backlog=BACKLOG
        )
        self._servers.append(server)
        bound = listener.getsockname()
        self.addresses.append((bound[0], bound[1]))
        logs.event(log, logging.INFO, "listening", address=bound[0], port=bound[1])

    async def _listen_unix(self, path: Path) -> None:
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if _answers(path):
                raise StateError(f"another agent listens on {path}; stop it, or set server.unix-socket")
            with contextlib.suppress(FileNotFoundError):
                path.unlink()  # what an agent that was killed left behind
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(path))
            self._unix_path = path
            path.chmod(0o666)  # who may speak is decided by SO_PEERCRED, at accept
        except OSError as error:
            raise StateError(f"cannot listen on {path}: {error.strerror}; set server.unix-socket") from None
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self.service, self._local_session), sock=listener, backlog=BACKLOG
        )
        self._servers.append(server)

    def _local_session(self, connection: Connection) -> LocalAgentSession | None:
        """The session of a Unix socket peer; None for a user who is not admitted (docs/protocol.md)."""
        assert connection.transport is not None
        peer = connection.transport.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        administrators = {0, os.geteuid()}
        if uid not in administrators and uid not in self.config.server.unix_users:
            logs.event(log, logging.WARNING, "user refused on the Unix socket", uid=uid)
            return None
        return self.service.local_session(connection, uid, administrator=uid in administrators)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self.service.sweep()
            except Exception:
                log.exception("the sweep failed")

    async def close(self) -> None:
        """Stop listening, end every session, close drivers and store. Idempotent."""
        if self._announcement is not None:
            await self._announcement.close()
            self._announcement = None
        for server in self._servers:
            server.close()
        self._servers = []
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        service, self._service = self._service, None
        if service is not None:
            await service.close()
        if self._audit is not None:
            await asyncio.to_thread(self._audit.close)
            self._audit = None
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._unix_path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._unix_path.unlink()
            self._unix_path = None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


async def run(config: Config) -> None:
    """Run an agent until SIGTERM or SIGINT, telling systemd how it is. Raises as :meth:`Server.start`."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notifier = Notifier()
    server = Server(config)
    await server.start()
    notifier.ready()
    notifier.status(f"serving {len(server.service.dispatcher.served)} operations")
    try:
        while not stop.is_set():
            notifier.watchdog()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(notifier.watchdog_interval):
                    await stop.wait()
    finally:
        notifier.stopping(config.server.shutdown_timeout + CLOSING_SECONDS)
        log.info("stopping")
        await server.close()
