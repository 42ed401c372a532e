"""The agent's keys: who it is, by which key it admits devices, who else may vouch for it (docs/trust.md).

``agent.key`` is the agent's identity, ``administrator.key`` the key that signs for its administrator;
``administrators.json`` names further administrators, ``replaces.json`` the agents that this one replaces. The
first two are made at the first start.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from myclerk_protocol import signatures
from myclerk_protocol.environment import Environment
from myclerk_protocol.mesh import udf
from myclerk_protocol.mesh.authorities import MAXIMUM_FURTHER, AdministratorKey, Authority, read_authority
from myclerk_protocol.mesh.connections import HostAssertion, connect_host
from myclerk_protocol.mesh.encoding import dump_json, load_json, object_of, text_member
from myclerk_protocol.mesh.profiles import MAXIMUM_DESCRIPTION, Identity
from myclerk_protocol.status import BadRequest, Conflict, LocalError, NotFound, OperationError

from .log import clean
from .state import StateError, exclusive, read_private, write_once, write_private

AGENT_KEY = "agent.key"
ADMINISTRATOR_KEY = "administrator.key"
ADMINISTRATORS = "administrators.json"
REPLACES = "replaces.json"


@dataclass(frozen=True, slots=True)
class NamedAuthority:
    """A further administrator, and what people call it here."""

    name: str
    authority: Authority


@dataclass(frozen=True, slots=True)
class AgentKeys:
    """Who the agent is, and the key by which it admits devices. Neither shows secrets in its repr.

    ``further`` are other administrators who may vouch; ``assertion`` is what the administrator said of this
    agent when it replaced another, or None.
    """

    identity: Identity
    administrator: AdministratorKey
    further: tuple[NamedAuthority, ...] = ()
    assertion: HostAssertion | None = None

    @property
    def authorities(self) -> tuple[Authority, ...]:
        """All administrators, the one whose key is here first."""
        return (self.administrator.authority, *(named.authority for named in self.further))


def load_keys(directory: Path, environment: Environment, post_quantum: bool = True) -> AgentKeys:
    """The agent's keys from ``directory``, which ``prepare_directory`` judged; new at the first start.

    ``post_quantum`` gives keys an ML-DSA-65 half where the installed libraries have it, also keys that were
    made without. Raises StateError for a file that is damaged, missing beside the other, or not private.
    """
    return _guarded(directory, lambda: _load(directory, environment, post_quantum))


def add_administrator(
    directory: Path, environment: Environment, name: str, authority: Authority
) -> AgentKeys:
    """Let another administrator vouch for this agent from its next start on.

    Raises Conflict when it does already, BadRequest for a name that is not printable or one too many.
    """

    def change(further: tuple[NamedAuthority, ...]) -> tuple[NamedAuthority, ...]:
        if not name or not name.isprintable() or len(name) > MAXIMUM_DESCRIPTION:
            raise BadRequest(f"a name is printable text of at most {MAXIMUM_DESCRIPTION} characters")
        if len(further) >= MAXIMUM_FURTHER:
            raise BadRequest(f"an agent has at most {MAXIMUM_FURTHER} administrators beside its own")
        return (*further, NamedAuthority(name, authority))

    return _change_further(directory, environment, authority.fingerprint, change)


def remove_administrator(directory: Path, environment: Environment, fingerprint: str) -> AgentKeys:
    """Let a further administrator vouch no more. Raises NotFound."""

    def change(further: tuple[NamedAuthority, ...]) -> tuple[NamedAuthority, ...]:
        left = tuple(named for named in further if named.authority.fingerprint != fingerprint)
        if left == further:
            raise NotFound("no further administrator has that fingerprint")
        return left

    return _change_further(directory, environment, None, change)


def take_over(
    directory: Path,
    environment: Environment,
    administrator: AdministratorKey,
    replaces: Sequence[str],
    *,
    further: Sequence[NamedAuthority] = (),
    keep_own: bool = False,
    post_quantum: bool = True,
) -> AgentKeys:
    """Make ``administrator`` this agent's, and vouch for the agent as what ``replaces`` those fingerprints.

    ``further`` administrators join those there are; the own one before joins them with ``keep_own``, as
    devices may hold its assertions. Raises BadRequest when they become too many; nothing is changed then.
    """

    def work() -> AgentKeys:
        before = _load(directory, environment, post_quantum, complete=False)
        own = (NamedAuthority("before the import", before.administrator.authority),) if keep_own else ()
        known = {administrator.public}
        joined = []
        for named in (*before.further, *further, *own):
            if named.authority.public not in known:
                known.add(named.authority.public)
                joined.append(named)
        upgraded = _with_pq(administrator, environment, post_quantum)
        keys = replace(before, administrator=upgraded, further=tuple(joined))
        identity = keys.identity.issued_anew(environment.wall(), administrators=keys.authorities)
        others = [name for name in dict.fromkeys(replaces) if name != identity.fingerprint]
        assertion = connect_host(identity.profile, others, upgraded, environment.wall())
        write_private(directory / ADMINISTRATOR_KEY, upgraded.to_bytes())
        write_private(directory / AGENT_KEY, identity.to_bytes())
        write_private(directory / ADMINISTRATORS, further_to_bytes(joined))
        write_private(directory / REPLACES, dump_json(others))
        keys = replace(keys, identity=identity, assertion=assertion)
        return _completed(directory, environment, post_quantum, keys)

    return _guarded(directory, work)


# -- reading and completing ------------------------------------------------------------------------------------


def _guarded(directory: Path, work: Callable[[], AgentKeys]) -> AgentKeys:
    try:
        with exclusive(directory):
            return work()
    except OSError as error:
        raise StateError(f"{error.filename} cannot be used: {error.strerror}") from None
    except StateError:
        raise
    except LocalError as error:
        raise StateError(f"a key in {directory} is damaged, restore it from a backup: {error}") from None


def _load(directory: Path, environment: Environment, post_quantum: bool, complete: bool = True) -> AgentKeys:
    agent, administrator_path = directory / AGENT_KEY, directory / ADMINISTRATOR_KEY
    if agent.exists() and not administrator_path.exists():
        raise StateError(
            f"{administrator_path} is missing: restore it, or remove {agent} too, upon which the agent is a"
            " new one and every device has to enrol again"
        )
    if not administrator_path.exists():
        made = AdministratorKey.create(environment.random, post_quantum and signatures.available())
        write_once(administrator_path, made.to_bytes())
    administrator = AdministratorKey.from_bytes(read_private(administrator_path))
    further = _read_further(directory)
    if not agent.exists():
        authorities = (administrator.authority, *(named.authority for named in further))
        write_once(agent, _new_identity(environment, authorities, post_quantum).to_bytes())
    identity = Identity.from_bytes(read_private(agent))
    keys = AgentKeys(identity, administrator, further)
    if not complete:
        return keys
    if identity.profile.administrator != administrator.public:
        raise StateError(
            f"{administrator_path} does not belong to {agent}: restore both from the same backup, or repeat"
            " `myclerk-agent keys import` if that was cut short"
        )
    return _completed(directory, environment, post_quantum, keys)


def _completed(directory: Path, environment: Environment, post_quantum: bool, keys: AgentKeys) -> AgentKeys:
    """The keys with what they lack by now: ML-DSA-65 halves, a profile that names all administrators."""
    administrator = _with_pq(keys.administrator, environment, post_quantum)
    if administrator is not keys.administrator:
        write_private(directory / ADMINISTRATOR_KEY, administrator.to_bytes())
        keys = replace(keys, administrator=administrator)
    lacks_pq = keys.identity.pq_public is None and post_quantum and signatures.available()
    if lacks_pq or keys.identity.profile.administrators != keys.authorities:
        identity = keys.identity.issued_anew(
            environment.wall(),
            pq_random=environment.random if lacks_pq else None,
            administrators=keys.authorities,
        )
        write_private(directory / AGENT_KEY, identity.to_bytes())
        keys = replace(keys, identity=identity)
    return replace(keys, assertion=_assertion(directory, environment, keys))


def _with_pq(key: AdministratorKey, environment: Environment, post_quantum: bool) -> AdministratorKey:
    if key.pq_public is not None or not post_quantum or not signatures.available():
        return key
    return key.with_pq(environment.random)


def _new_identity(
    environment: Environment, administrators: tuple[Authority, ...], post_quantum: bool
) -> Identity:
    return Identity.create(
        "host",
        clean(socket.gethostname(), MAXIMUM_DESCRIPTION),
        environment.random,
        environment.wall(),
        post_quantum and signatures.available(),
        administrators=administrators,
    )


# -- further administrators ------------------------------------------------------------------------------------


def _change_further(
    directory: Path,
    environment: Environment,
    added: str | None,
    change: Callable[[tuple[NamedAuthority, ...]], tuple[NamedAuthority, ...]],
) -> AgentKeys:
    def work() -> AgentKeys:
        keys = _load(directory, environment, post_quantum=False)
        if added is not None and any(authority.fingerprint == added for authority in keys.authorities):
            raise Conflict("that administrator vouches for this agent already")
        changed = replace(keys, further=change(keys.further))
        write_private(directory / ADMINISTRATORS, further_to_bytes(changed.further))
        return _completed(directory, environment, False, changed)

    return _guarded(directory, work)


def further_to_bytes(further: Sequence[NamedAuthority]) -> bytes:
    """Further administrators as JSON."""
    return dump_json([{"Name": named.name, **named.authority.members()} for named in further])


def further_from_bytes(data: bytes) -> tuple[NamedAuthority, ...]:
    """What :func:`further_to_bytes` wrote. Raises BadRequest."""
    entries = load_json(data, "the list of administrators")
    if type(entries) is not list:
        raise BadRequest("the list of administrators is no list")
    members = [object_of(entry, "an administrator") for entry in entries]
    return tuple(NamedAuthority(text_member(entry, "Name"), read_authority(entry)) for entry in members)


def _read_further(directory: Path) -> tuple[NamedAuthority, ...]:
    path = directory / ADMINISTRATORS
    if not path.exists():
        return ()
    try:
        return further_from_bytes(read_private(path))
    except OperationError as error:
        raise StateError(f"{path} is damaged, restore it or remove it: {error}") from None


# -- agents that this one replaces -------------------------------------------------------------------------------


def replaced(directory: Path) -> tuple[str, ...]:
    """The agents (28 characters) that this one stands in for. Raises StateError for a damaged list."""
    path = directory / REPLACES
    if not path.exists():
        return ()
    try:
        names = load_json(read_private(path), "the list of agents that this one replaces")
        if type(names) is not list or any(type(name) is not str for name in names):
            raise BadRequest("it is not a list of fingerprints")
        return tuple(map(udf.check_fingerprint, names))
    except OperationError as error:
        raise StateError(f"{path} is damaged, remove it or repeat the import: {error}") from None


def _assertion(directory: Path, environment: Environment, keys: AgentKeys) -> HostAssertion | None:
    """The administrator's word for this agent, if it replaces any."""
    names = replaced(directory)
    if not names:
        return None
    return connect_host(keys.identity.profile, names, keys.administrator, environment.wall())
