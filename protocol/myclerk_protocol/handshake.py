"""The two handshakes of docs/protocol.md, message by message: SESSION_INIT/ACK and SESSION_RESUME/RESUMED.

Pure functions over bytes: the session state machines decide what to do with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from . import header as headers
from . import kem, payloads
from .exchange import Mode
from .operations import REGISTRY
from .schema import Schema
from .status import BadRequest, Forbidden, TooLarge, Unsupported

HANDSHAKE_TIER = 4
HANDSHAKE_ID = 1
"""Request ID of every handshake message, also in a second attempt."""

SESSION_INIT = REGISTRY.by_name("SESSION_INIT").code
SESSION_ACK = REGISTRY.by_name("SESSION_ACK").code
SESSION_RESUME = REGISTRY.by_name("SESSION_RESUME").code
SESSION_RESUMED = REGISTRY.by_name("SESSION_RESUMED").code


class Capability(IntEnum):
    """Capabilities of draft section 7.1 that mean something here; others are ignored."""

    LZ4 = 0
    ZSTD = 1
    CHACHA20 = 2
    AES256GCM = 3
    FRAGMENTATION = 4
    STREAMING = 5
    REQUEST_CORRELATION = 11
    PQ_MLKEM768 = 12


SELECTABLE = frozenset(
    {Capability.ZSTD, Capability.STREAMING, Capability.REQUEST_CORRELATION, Capability.PQ_MLKEM768}
)
"""What an agent selects whenever it is offered and fits; the AEAD is selected apart from these."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What this side accepts. Sizes in bytes, times in seconds.

    ``aes`` says that this machine has AES instructions; without them AES-256-GCM is never picked.
    """

    require_pq: bool = True
    max_tier: int = 5
    aes: bool = False
    zstd: bool = True
    message_limit: int = 1 << 20
    requests_in_flight: int = 2048
    ticket_lifetime: float = 86400.0


def decode_payload(operation: str, payload: bytes | memoryview, *, answer: bool = False) -> dict[str, Any]:
    """A handshake payload by the schema; every flaw, a wrong length included, is BAD_REQUEST."""
    schema = Schema.load()
    rule = schema.response(operation) if answer else schema.request(operation)
    assert rule is not None
    try:
        return rule.decode(payload)
    except TooLarge as error:
        raise BadRequest(error.message, **error.details) from None


def message(
    version: int, opcode: int, payload: bytes, *, session_id: int, timestamp: int, tier: int = HANDSHAKE_TIER
) -> bytes:
    """A whole unsealed handshake message (C = S = E = 0, sequence, nonce and Key ID 0, Request ID 1)."""
    head = headers.Header(
        version=version,
        tier=tier,
        opcode=opcode,
        session_id=session_id,
        timestamp=timestamp,
        request_id=HANDSHAKE_ID if version else 0,
    )
    return headers.encode_plain(head, payload)


def check_fields(head: headers.Header, *, session_id: int | None) -> None:
    """Refuse any header field that is not what section 3 fixes; ``session_id`` None means any but 0.

    Raises BadRequest naming the field.
    """
    wrong = [
        name
        for name, bad in (
            ("compressed", head.compressed),
            ("push", head.push),
            ("sequence", head.sequence != 0),
            ("nonce", head.nonce != 0),
            ("key-id", head.key_id != 0),
            ("request-id", head.version == 1 and head.request_id != HANDSHAKE_ID),
            ("session-id", head.session_id == 0 if session_id is None else head.session_id != session_id),
        )
        if bad
    ]
    if wrong:
        raise BadRequest(f"the handshake's header field `{wrong[0]}` has a value of its own", key=wrong[0])


def check_init(head: headers.Header, payload: bytes | memoryview) -> dict[str, Any]:
    """The fields of a SESSION_INIT whose form is right (Python names).

    Raises Forbidden for another tier, BadRequest for any flaw of form, with the key at fault.
    """
    _check_tier(head)
    if head.version == 0 and not _is_map(payload):
        raise BadRequest(
            "no map behind the 14-byte header: the handshake of drafts 00-02 is not spoken here, use draft 03"
        )
    check_fields(head, session_id=0)
    fields = decode_payload("SESSION_INIT", payload)
    if fields["timestamp"] != head.timestamp:
        raise BadRequest("`timestamp` differs from the header's", key="timestamp")
    if ("mlkem_public" in fields) != (fields["kex_mode"] == Mode.HYBRID):
        raise BadRequest("`mlkem-public` goes with hybrid-mlkem768 and only with it", key="mlkem-public")
    if "mlkem_public" in fields:
        kem.check_encapsulation_key(fields["mlkem_public"])
    return fields


def check_resume(head: headers.Header, payload: bytes | memoryview) -> dict[str, Any]:
    """The fields of a SESSION_RESUME whose form is right. Raises as :func:`check_init`."""
    _check_tier(head)
    if head.version == 0:
        raise BadRequest("version 0 has no resume; send SESSION_INIT")
    check_fields(head, session_id=0)
    fields = decode_payload("SESSION_RESUME", payload)
    if fields["timestamp"] != head.timestamp:
        raise BadRequest("`timestamp` differs from the header's", key="timestamp")
    return fields


def select_capabilities(offered: list[int] | None, policy: Policy, mode: Mode, version: int) -> list[int]:
    """The subset of ``offered`` (absent = [2]) that the agent selects, with exactly one of 2 and 3.

    Raises Unsupported when the offer holds no AEAD that this agent can use.
    """
    offer = {Capability.CHACHA20} if offered is None else set(offered)
    selected = {c for c in SELECTABLE if c in offer}
    if not policy.zstd:
        selected.discard(Capability.ZSTD)
    if mode is Mode.CLASSICAL:
        selected.discard(Capability.PQ_MLKEM768)
    if version == 0:
        selected.discard(Capability.REQUEST_CORRELATION)
    if policy.aes and Capability.AES256GCM in offer:
        selected.add(Capability.AES256GCM)
    elif Capability.CHACHA20 in offer:
        selected.add(Capability.CHACHA20)
    else:
        raise Unsupported("offer capability 2 (ChaCha20-Poly1305); AES-256-GCM is not picked by this agent")
    return sorted(int(c) for c in selected)


def check_ack(
    head: headers.Header, fields: Mapping[str, Any], *, mode: Mode, offered: list[int], max_tier: int
) -> None:
    """Whether a SESSION_ACK is one the client can accept. Raises BadRequest naming what is wrong."""
    check_fields(head, session_id=None)
    if fields["session_id"] != head.session_id:
        raise BadRequest("the agent's `session-id` differs from its header's", key="session-id")
    if fields["selected_kex_mode"] != mode:
        raise BadRequest("the agent answered another key exchange than asked for", key="selected-kex-mode")
    if not 4 <= fields["selected_tier"] <= max_tier:
        raise BadRequest("the agent selected a tier that was not offered", key="selected-tier")
    selected = fields["selected_capabilities"]
    aeads = {Capability.CHACHA20, Capability.AES256GCM} & set(selected)
    if len(aeads) != 1 or not set(selected) <= set(offered) or Capability.FRAGMENTATION in selected:
        raise BadRequest("the agent selected capabilities that do not fit", key="selected-capabilities")


def _check_tier(head: headers.Header) -> None:
    if head.tier != HANDSHAKE_TIER:
        raise Forbidden("the handshake is spoken at tier 4", required_tier=HANDSHAKE_TIER)


def _is_map(payload: bytes | memoryview) -> bool:
    try:
        payloads.unpack(payload)
    except BadRequest:
        return False
    return True
