"""The administrator's key and the database in one file, to survive the board's SD card (docs/trust.md).

The file is sealed under a recovery code, a UDF of an encryption key with 128 random bits that is shown once and
kept apart from it. Who has both is the agent's administrator. What the code does not open is the file's header:
when it was made, of which agent, and the administrator's public keys.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from myclerk_protocol.environment import Environment
from myclerk_protocol.keys import hkdf_sha256
from myclerk_protocol.mesh import udf
from myclerk_protocol.mesh.authorities import AdministratorKey, Authority, read_authority
from myclerk_protocol.mesh.encoding import (
    base64url_encode,
    binary_member,
    dump_json,
    format_time,
    load_object,
    object_of,
    text_member,
)
from myclerk_protocol.status import BadRequest, Conflict, Unauthorized

from .database import StoreError
from .keys import AgentKeys, NamedAuthority, further_from_bytes, further_to_bytes
from .store import Store

MAXIMUM_SIZE = 64 << 20
CONTEXT = b"myclerk-escrow-v1"
_CODE_BYTES = 16
_SALT_BYTES = 32
_NONCE = bytes(12)
"""One key seals one file: it is derived from a salt of the file's own."""


@dataclass(frozen=True, slots=True)
class Escrow:
    """What a file held: the administrator's key, the agents (28 characters) that a new one replaces with it, the
    last one first, the further administrators, and the database as it was. Its repr shows no secret."""

    administrator: AdministratorKey = field(repr=False)
    agents: tuple[str, ...]
    further: tuple[NamedAuthority, ...]
    database: bytes = field(repr=False)


def seal(
    keys: AgentKeys, replaced: tuple[str, ...], store: Store, environment: Environment
) -> tuple[bytes, str]:
    """The file, and the recovery code that opens it: 28 characters with hyphens, beginning with E."""
    secret, salt = environment.random(_CODE_BYTES), environment.random(_SALT_BYTES)
    contents = {
        "Administrator": base64url_encode(keys.administrator.to_bytes()),
        "Agents": [keys.identity.fingerprint, *replaced],
        "Further": base64url_encode(further_to_bytes(keys.further)),
        "Database": base64url_encode(database_of(store)),
    }
    header = {
        "Created": format_time(environment.wall()),
        "Agent": udf.grouped(keys.identity.fingerprint),
        **keys.administrator.authority.members(),
        "Salt": base64url_encode(salt),
    }
    sealed = _cipher(secret, salt).encrypt(_NONCE, dump_json(contents), dump_json(header))
    file = dump_json({"MyClerkEscrow": {**header, "Ciphertext": base64url_encode(sealed)}})
    return file, udf.present(udf.Kind.ENCRYPTION_KEY, secret)


def unseal(data: bytes, code: str) -> Escrow:
    """What the file ``data`` holds. Raises BadRequest for what is no such file or no code, Unauthorized for the
    wrong code."""
    header = _header(data)
    sealed = binary_member(header, "Ciphertext")
    del header["Ciphertext"]
    kind, secret = udf.parse(code)
    if kind != udf.Kind.ENCRYPTION_KEY or len(secret) != _CODE_BYTES:
        raise BadRequest("a recovery code begins with E and has 28 characters")
    try:
        opened = _cipher(secret, binary_member(header, "Salt")).decrypt(_NONCE, sealed, dump_json(header))
    except InvalidTag:
        raise Unauthorized("the recovery code does not open this file, or the file was changed") from None
    contents = load_object(opened, "what the file holds")
    agents = contents.get("Agents")
    if type(agents) is not list or any(type(name) is not str for name in agents):
        raise BadRequest("the file names no agents")
    return Escrow(
        AdministratorKey.from_bytes(binary_member(contents, "Administrator")),
        tuple(map(udf.check_fingerprint, agents)),
        further_from_bytes(binary_member(contents, "Further")),
        binary_member(contents, "Database"),
    )


def authority_of(data: bytes) -> Authority:
    """The administrator whose file this is, without its code. Raises BadRequest."""
    return read_authority(_header(data))


def database_of(store: Store) -> bytes:
    """The database as it is now."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "agent.db"
        store.backup(path)
        return path.read_bytes()


def restore(data: bytes, store: Store, environment: Environment) -> int:
    """Put the database ``data`` in the place of a new board's; how many devices there are now.

    Raises Conflict when this board has admitted
    a device, StoreError for what is no database of an agent; nothing is changed then.
    """
    if store.devices():
        raise Conflict("this board has admitted devices; only a new one takes over those of another")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "agent.db"
        path.touch(0o600)
        path.write_bytes(data)
        with contextlib.closing(Store(path, environment)):  # brings it up to date, or refuses it
            pass
        _check(path)
        store.restore(path)
    return len(store.devices())


def _check(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise StoreError("The database in the file is damaged")


def _header(data: bytes) -> dict[str, Any]:
    if len(data) > MAXIMUM_SIZE:
        raise BadRequest("this is no export of an administrator's key")
    members = load_object(data, "the export")
    if list(members) != ["MyClerkEscrow"]:
        raise BadRequest("this is no export of an administrator's key")
    header = object_of(members["MyClerkEscrow"], "MyClerkEscrow")
    text_member(header, "Created")
    return header


def _cipher(secret: bytes, salt: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(hkdf_sha256(secret, salt, CONTEXT, 32))
