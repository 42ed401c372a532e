"""The agent itself, apart from how it listens: sessions, devices, what they hold, and the passing of time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from myclerk_drivers.base import Access, Driver
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.environment import Environment
from myclerk_protocol.events import Ended, Established, Registration
from myclerk_protocol.handshake import Policy
from myclerk_protocol.local import LocalAgentSession
from myclerk_protocol.mesh.connections import HostAssertion
from myclerk_protocol.mesh.profiles import Identity
from myclerk_protocol.operations import REGISTRY, Registry
from myclerk_protocol.records import SessionRecord, SessionRegistry
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import Conflict, LocalError, OperationError, TooMany

from . import log as logs
from .access import AccessRules
from .acl import AclOperations
from .audit import Audit, origin
from .clients import ClientOperations
from .config import Config, check_minimum_tiers
from .connection import Connection
from .dispatch import Dispatcher
from .enrolment import Enrolment
from .feeds import Feeds
from .hotplug import HotPlug
from .limits import Limits, network_of
from .requests import RequestOperations
from .resources import Holdings, Rights
from .routes import Routes
from .store import Store, StoreBusy
from .stream_operations import RouteOperations, StreamOperations
from .system import SystemOperations
from .uevents import Uevents

log = logging.getLogger("myclerk.agent")

SESSION_REVOKE = REGISTRY.by_name("SESSION_REVOKE").code
SESSION_CLOSE = REGISTRY.by_name("SESSION_CLOSE").code
PENDING_CONNECTIONS = 16
CLOCK_WARNING = 300
"""Seconds of difference between two clocks above which both sides warn."""
PURGE_SECONDS = 60.0
REGISTER_PATIENCE = 5.0
"""Seconds for which a CLIENT_REGISTER is tried again while another command keeps the database."""
SYSTEM_OPERATIONS = (
    SystemOperations,
    StreamOperations,
    RouteOperations,
    ClientOperations,
    AclOperations,
    RequestOperations,
)
"""The classes whose methods serve the agent's own operations."""


class Service:
    """Everything that the agent does for its connections. Runs on one event loop."""

    def __init__(
        self,
        config: Config,
        environment: Environment,
        identity: Identity,
        enrolment: Enrolment,
        store: Store,
        audit: Audit,
        driver_classes: Mapping[str, type[Driver]],
        *,
        aes: bool,
        assertion: HostAssertion | None = None,
    ) -> None:
        self.config = config
        self.environment = environment
        self.store = store
        self.connections: set[Connection] = set()
        self.on_store_change: list[Callable[[], None]] = []
        self._identity = identity
        self._assertion = assertion
        self._enrolment = enrolment
        self._audit = audit
        self._lingering: dict[SessionRecord, float] = {}
        self._purge_at = 0.0
        self._store_changed = False
        self._held: dict[Connection, tuple[str, Registration | None]] = {}
        self._put_off: list[tuple[Connection, Registration, float]] = []
        server, security = config.server, config.security
        self.policy = Policy(
            require_pq=security.require_pq,
            max_tier=security.max_tier,
            aes=aes and security.aes == "auto",
            zstd=config.compression.zstd,
            message_limit=server.message_limit,
            requests_in_flight=server.requests_in_flight,
            ticket_lifetime=security.ticket_lifetime,
        )
        self.sessions = SessionRegistry(environment, self.policy, self._session_over)
        self.limits = Limits(
            server.connections,
            server.connections_per_address,
            server.handshakes_per_second,
            environment.monotonic,
        )
        self.operations, schema = extend(driver_classes)
        check_minimum_tiers(security.minimum_tiers, self.operations, config.source)
        self.dispatcher = Dispatcher(self.operations, schema, audit, security.minimum_tiers)
        self.hot_plug = HotPlug(self.dispatcher, None if config.simulation is not None else Uevents)
        self.routes = Routes(config.state.directory, environment.wall)
        self.feeds = Feeds(self.routes.rank, self.dispatcher.in_turn, self.dispatcher.table.put_first)
        self.routes.on_change = self.feeds.choose
        for operations in SYSTEM_OPERATIONS:
            self.dispatcher.bind_system(operations(self))
        enrolment.on_decision.append(self._decided)

    # -- new connections -----------------------------------------------------------------------------------

    def remote_session(self, connection: Connection) -> AgentSession | None:
        """The session of a network connection; None when the limits say to close it at once."""
        assert connection.transport is not None
        peer = connection.transport.get_extra_info("peername")
        network = network_of(str(peer[0])) if peer else "unknown"
        connection.name = f"{peer[0]}:{peer[1]}" if peer else "unknown"
        if not self.limits.enter(network):
            logs.event(log, logging.WARNING, "connection refused: too many from there", peer=connection.name)
            return None
        connection.on_authenticated = connection.on_lost = _once(lambda: self.limits.leave(network))
        return AgentSession(
            self.sessions,
            self.environment,
            self.policy,
            self._proof,
            lambda: self.limits.admit_handshake(network),
            self.operations,
        )

    def local_session(self, connection: Connection, uid: int, *, administrator: bool) -> LocalAgentSession:
        """The session of a Unix socket connection; the kernel named its peer ``uid``, who was admitted."""
        connection.name = f"uid {uid}"
        session = LocalAgentSession(connection.name, self.policy, self.operations)
        rights = self._local_rights(connection.name, administrator=administrator)
        connection.holdings = Holdings(session.record, rights, self.dispatcher.table)
        session.record.holdings = connection.holdings
        return session

    def _proof(self, transcript: bytes) -> Mapping[str, Any]:
        signature, pq_signature = self._identity.agent_proof(transcript)
        return {
            "profile": self._identity.profile.raw,
            "signature": signature,
            "pq_public": self._identity.pq_public,
            "pq_signature": pq_signature,
            "time": int(self.environment.wall()),
            **self._vouched_for(),
        }

    def _vouched_for(self) -> Mapping[str, Any]:
        """The administrator's word for an agent that replaces another."""
        said = self._assertion
        if said is None:
            return {}
        return {
            "connection": said.envelope,
            "connection_pq_public": said.pq_public,
            "connection_pq_signature": said.pq_signature,
        }

    # -- events of connections -----------------------------------------------------------------------------

    def register(self, connection: Connection, event: Registration, give_up_at: float | None = None) -> None:
        """Judge a CLIENT_REGISTER (docs/protocol.md).

        Where another command keeps the database it is tried again once a second, until ``give_up_at``.
        """
        session = connection.session
        assert isinstance(session, AgentSession)
        try:
            decision = self._enrolment.register(dict(event.fields), event.transcript)
            if decision.result == "Pending":
                told = connection in self._held
                self._hold(decision.fingerprint, connection, event if told else None)
                session.hold()
                if told:  # the answer to a repeat is the decision
                    return
            if decision.result != "Accept":
                rule = Schema.load().response("CLIENT_REGISTER")
                assert rule is not None
                session.respond(event.request, rule.encode(decision.fields))
                return
            record = session.record
            assert record is not None
            rights = self._rights(decision.fingerprint)
            if not event.repeat:
                self._admit_session(record, decision.fingerprint)
            elif record.device != decision.fingerprint:
                raise Conflict("a session belongs to one device; open another session")
        except OperationError as error:
            if isinstance(error, StoreBusy) and self._try_again(connection, event, give_up_at):
                return
            claimed = event.fields.get("device")
            outcome = error.status.name.lower()
            self._audit.record(
                connection.name, "CLIENT_REGISTER", "", outcome, claimed=claimed, reason=error.message
            )
            session.refuse(event.request, error)
            return
        session.accept(event, decision.fingerprint, decision.fields)
        if connection.holdings is None:
            record.holdings = Holdings(record, rights, self.dispatcher.table)
            connection.serve(record.holdings)
            action = "enrolment" if "result" in decision.fields else "CLIENT_REGISTER"
            self._audit.record(decision.fingerprint, action, "", "ok", **origin(record.holdings))

    def _try_again(self, connection: Connection, event: Registration, give_up_at: float | None) -> bool:
        now = self.environment.monotonic()
        until = now + REGISTER_PATIENCE if give_up_at is None else give_up_at
        if now < until:
            self._put_off.append((connection, event, until))
        return now < until

    def established(self, connection: Connection, event: Established) -> None:
        """A handshake succeeded, or a resume was proven."""
        record = connection.session.record
        assert record is not None
        session = connection.session
        if isinstance(session, AgentSession) and abs(session.clock_difference) > CLOCK_WARNING:
            logs.event(
                log, logging.WARNING, "clocks differ", peer=connection.name, seconds=session.clock_difference
            )
        if event.classical:
            logs.event(log, logging.WARNING, "classical-only session", peer=connection.name)
        if not event.resumed:
            return
        assert record.device is not None
        self._lingering.pop(record, None)
        try:
            rights = self._rights(record.device)
        except OperationError as error:  # the database fails: nothing is served on a guess
            self.end_session(record, error.message)
            return
        if record.holdings is None:
            record.holdings = Holdings(record, rights, self.dispatcher.table)
        record.holdings.change_rights(rights)
        record.holdings.detach()  # streams go on at STREAM_CONFIGURE
        connection.serve(record.holdings)
        self._audit.record(record.device, "SESSION_RESUME", "", "ok", **origin(record.holdings))

    def ended(self, connection: Connection, event: Ended) -> None:
        """A connection is over; what its session holds lingers or was released already."""
        logs.event(log, logging.INFO, "connection ended", peer=connection.name, reason=event.reason)
        record = event.record
        if record is None:
            return
        if isinstance(connection.session, LocalAgentSession):
            record.holdings.release()
        elif event.linger and record.session is None and record.holdings is not None:
            record.holdings.detach()
            if self.config.server.linger <= 0:
                self._let_go(record)
            else:
                self._lingering[record] = self.environment.monotonic() + self.config.server.linger

    # -- devices and sessions ------------------------------------------------------------------------------

    def is_admitted(self, fingerprint: str) -> bool:
        """Whether a device is enrolled and was not revoked."""
        device = self.store.device(fingerprint)
        return device is not None and device.revoked_at is None

    def revoke(self, fingerprint: str) -> None:
        """Revoke a device: it is refused from now on, its sessions and tickets end at once."""
        self.store.revoke(fingerprint)
        for record in self.sessions.of_device(fingerprint):
            self.end_session(record, "the device was revoked")

    def end_session(self, record: SessionRecord, reason: str) -> None:
        """Tell the client by SESSION_REVOKE, then end the session without linger."""
        if record.session is not None:
            record.session.outbox.send(record.version, 4, SESSION_REVOKE, 0, b"", push=True)
        logs.event(log, logging.INFO, "session ended", device=record.device or "", reason=reason)
        self.sessions.kill(record)

    def access_rules(self) -> AccessRules:
        """All rules as they are now."""
        return self.store.access.load(self.config.access.shared)

    def rights_changed(self) -> None:
        """Rules or devices have changed: sessions are judged anew, and lose at once what they may not have."""
        self._store_changed = True  # the sweep tries again if this fails
        self._apply_store_changes()
        self._store_changed = False

    def _rights(self, fingerprint: str, rules: AccessRules | None = None) -> Rights:
        device = self.store.device(fingerprint)
        name = fingerprint if device is None or not device.description else device.description
        return Rights.of(fingerprint, name, rules or self.access_rules(), self.dispatcher.inventory)

    def _local_rights(self, name: str, *, administrator: bool, rules: AccessRules | None = None) -> Rights:
        """Those of a user of this machine: everything that is shared, and all else for administrators."""
        sharing = (rules or self.access_rules()).sharing
        return Rights(
            name, Access.READ_WRITE, administrator, sharing=sharing, places=self.dispatcher.inventory
        )

    def _admit_session(self, record: SessionRecord, fingerprint: str) -> None:
        """Bound the sessions of one device: too many live ones are refused, old dormant ones make room."""
        others = [r for r in self.sessions.of_device(fingerprint) if r is not record]
        limit = self.config.server.sessions_per_device
        live = [r for r in others if r.session is not None or r.holdings is not None]
        if len(live) >= limit:
            raise TooMany(f"this device has {len(live)} sessions already, the most it may have here")
        dormant = sorted((r for r in others if r not in live), key=lambda r: r.registered_at)
        for old in dormant[: max(len(dormant) - limit + 1, 0)]:
            self.sessions.kill(old)

    def _hold(self, fingerprint: str, connection: Connection, event: Registration | None) -> None:
        """Let a connection wait for an administrator; the answer to a repeated request waits with it."""
        self._held = {c: held for c, held in self._held.items() if not c.session.closed}
        if connection not in self._held and len(self._held) >= PENDING_CONNECTIONS:
            raise TooMany("too many devices wait for an administrator; try again later")
        self._held[connection] = (fingerprint, event)

    def _decided(self, fingerprint: str) -> None:
        for connection, (device, event) in list(self._held.items()):
            if device == fingerprint and not connection.session.closed:
                del self._held[connection]
                if event is not None:
                    self.register(connection, event)
                    connection.flush()

    def _session_over(self, record: SessionRecord) -> None:
        self._lingering.pop(record, None)
        if record.holdings is not None:
            record.holdings.release()
            record.holdings = None

    def _let_go(self, record: SessionRecord) -> None:
        """Linger is over: release everything; the ticket still resumes an empty session."""
        self._lingering.pop(record, None)
        if record.holdings is not None:
            logs.event(log, logging.INFO, "linger is over", device=record.device or "")
            record.holdings.release()
            record.holdings = None
        record.ledger.forget_answers()

    # -- time and the end ----------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Let time pass for everything; called once a second."""
        loop_time = asyncio.get_running_loop().time()
        now = self.environment.monotonic()
        for connection in list(self.connections):
            try:
                connection.tick(loop_time)
            except Exception:  # one connection's trouble is no other's
                log.exception("a connection failed")
        for record, deadline in list(self._lingering.items()):
            if now >= deadline:
                self._let_go(record)
        put_off, self._put_off = self._put_off, []
        for connection, event, until in put_off:
            if not connection.session.closed:
                self.register(connection, event, until)
                connection.flush()
        self.sessions.sweep()
        self.limits.sweep()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_SECONDS
            with contextlib.suppress(StoreBusy):  # there is time until the next one
                self.store.purge()
        self._store_changed = self.store.changed_elsewhere() or self._store_changed
        if self._store_changed:
            self._apply_store_changes()
            self._store_changed = False

    def _apply_store_changes(self) -> None:
        """Devices, rules or requests were changed, perhaps by a command beside this process: apply it here."""
        rules = self.access_rules()
        for record in list(self.sessions):
            if record.device is not None and record.device not in rules.devices:
                self.end_session(record, "the device was revoked")
            elif record.device is not None and record.holdings is not None:
                record.holdings.change_rights(self._rights(record.device, rules))
        for connection in self.connections:
            if isinstance(connection.session, LocalAgentSession) and connection.holdings is not None:
                administrator = connection.holdings.rights.administrator
                rights = self._local_rights(connection.name, administrator=administrator, rules=rules)
                connection.holdings.change_rights(rights)
        self.hot_plug.look()
        self._enrolment.check_decisions()
        for changed in self.on_store_change:
            changed()

    async def close(self) -> None:
        """End gracefully: running requests get their time, clients are told, everything is released."""
        pending = {t for c in self.connections if c.holdings for t in c.holdings.tasks}
        if pending:
            await asyncio.wait(pending, timeout=self.config.server.shutdown_timeout)
        for connection in list(self.connections):
            session = connection.session
            if isinstance(session, AgentSession) and session.record is not None:
                session.outbox.send(session.version, 3, SESSION_CLOSE, 0, b"", push=True)
            session.end("the agent is stopping", linger=False)
            connection.flush()
        for record in list(self.sessions):
            self.sessions.kill(record)
        await asyncio.sleep(0.05)
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        self.dispatcher.close()


def _once(function: Callable[[], None]) -> Callable[[], None]:
    done = False

    def call() -> None:
        nonlocal done
        if not done:
            done = True
            function()

    return call


def extend(driver_classes: Mapping[str, type[Driver]]) -> tuple[Registry, Schema]:
    """Registry and schema with what the drivers bring along; one whose rows or rules clash brings nothing."""
    operations, schema = REGISTRY, Schema.load()
    for name, cls in driver_classes.items():
        try:
            wider = operations.extended(cls.operations) if cls.operations else operations
            schema = schema.extended(cls.schema, f"{name}.cddl") if cls.schema else schema
            operations = wider
        except LocalError as error:
            logs.event(log, logging.ERROR, "the operations of a driver do not fit", driver=name, reason=error)
    return operations, schema
