"""Sealing and opening of tiers 3 to 5, one object per direction and epoch (docs/protocol.md).

Both are on the path of every message: one table look-up for the form, one struct call for the header, one
AEAD call. Also here: the HMAC trailers of the draft's Table 1, which only the codec knows.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .clock import WINDOW
from .header import TAG_SIZE, first_byte, header_size
from .keys import TrafficKeys
from .status import LocalError, UnopenedMessage

LAST_COUNTER = (1 << 32) - 1
"""The counter of the last message that an epoch can seal."""

MAC_SIZES = (4, 8)
"""Bytes of the HMAC-32 and HMAC-64 trailers."""

TRIAL = 32 << 10
"""Bytes that the two ciphers are compared with."""

_TAG_START = 14  # where tier 5 has its tag
_TAG_END = _TAG_START + TAG_SIZE
_pack_nonce = struct.Struct(">III").pack


class Aead(IntEnum):
    """The AEAD of a session, by its capability number (draft section 7.1)."""

    CHACHA20 = 2
    AES256GCM = 3


class Opened(NamedTuple):
    """A message that was opened; ``request_id`` is 0 in version 0."""

    version: int
    tier: int
    compressed: bool
    push: bool
    opcode: int
    request_id: int
    timestamp: int
    payload: bytes


_Unpack = Callable[[bytes | memoryview], tuple[Any, ...]]


def _layout(version: int, tier: int, tag: str = "") -> struct.Struct:
    # "0s" packs nothing and unpacks b"", so that tier 3 needs no code of its own for the Key ID it lacks.
    key_id = "0s" if tier == 3 else "2s"
    return struct.Struct(f">BHBHIH{key_id}{tag}{'I' if version else ''}")


_KINDS = tuple(product((0, 1), (3, 4, 5), (False, True), (False, True)))

# By first byte: what packs the header as it is authenticated (tier 5's tag is not part of that).
_PACKS: dict[int, Callable[..., bytes]] = {
    first_byte(*kind, encrypted=True): _layout(kind[0], kind[1]).pack for kind in _KINDS
}

# By first byte: version, tier, C, S, the header's size and what unpacks it as it is sent.
_FORMS: dict[int, tuple[int, int, bool, bool, int, _Unpack]] = {
    first_byte(*kind, encrypted=True): (
        *kind,
        header_size(kind[1], kind[0]),
        _layout(kind[0], kind[1], f"{TAG_SIZE}x" if kind[1] == 5 else "").unpack_from,
    )
    for kind in _KINDS
}


def _cipher(aead: Aead, key: bytes) -> ChaCha20Poly1305 | AESGCM:
    return ChaCha20Poly1305(key) if aead is Aead.CHACHA20 else AESGCM(key)


@cache
def aes_is_faster(clock: Callable[[], float]) -> bool:
    """Whether this machine seals faster with AES-256-GCM than with ChaCha20-Poly1305, by ``clock``; measured once.

    That it has AES instructions does not say so: those of emulated processors are slow.
    """
    payload = bytes(TRIAL)

    def seconds(aead: Aead) -> float:
        encrypt = _cipher(aead, bytes(32)).encrypt
        took = []
        for number in range(5):
            begun = clock()
            encrypt(number.to_bytes(12, "big"), payload, None)
            took.append(clock() - begun)
        return min(took)

    return seconds(Aead.AES256GCM) < seconds(Aead.CHACHA20)


_new = tuple.__new__  # what a NamedTuple's own constructor calls, without its frame


class Sealer:
    """Seals what one direction sends in one epoch.

    ``messages`` counts what was sealed and is the next message's counter; read it to know when to rotate.
    ``key_id`` is the epoch's whole Key ID, 1 + rotations.
    """

    __slots__ = ("_encrypt", "_key_id", "_random", "messages")

    def __init__(self, aead: Aead, keys: TrafficKeys, key_id: int) -> None:
        self._encrypt = _cipher(aead, keys.key).encrypt
        self._random = keys.random
        self._key_id = (key_id & 0xFFFF).to_bytes(2, "big")
        self.messages = 0

    def seal(
        self,
        version: int,
        tier: int,
        opcode: int,
        session_id: int,
        request_id: int,
        timestamp: int,
        payload: bytes | memoryview,
        push: bool = False,
        compressed: bool = False,
    ) -> bytes:
        """The whole sealed message, under the next counter; version 0 drops ``request_id``.

        Raises LocalError, and uses up no counter, for a tier or field out of range, and for good once 2**32
        messages were sealed: a nonce is never used twice.
        """
        counter = self.messages
        if counter > LAST_COUNTER:
            raise LocalError("this key has sealed all the messages that it may; rotate it")
        random = self._random ^ (counter >> 8 & 0xFFFF)
        first = (version << 6) + (tier << 3) + (compressed << 2) + (push << 1) + 1
        sequence, low, key_id = counter & 0xFF, random & 0xFFFF, self._key_id
        try:
            pack = _PACKS[first]
            if version:
                header = pack(first, opcode, sequence, session_id, timestamp, low, key_id, request_id)
            else:
                header = pack(first, opcode, sequence, session_id, timestamp, low, key_id)
        except (KeyError, struct.error):
            raise LocalError(f"a tier {tier} message cannot be sealed with these header fields") from None
        sealed = self._encrypt(_pack_nonce(timestamp, random, counter), payload, header)
        self.messages = counter + 1
        if tier == 5:
            tag, ciphertext = sealed[-TAG_SIZE:], sealed[:-TAG_SIZE]
            return b"".join((header[:_TAG_START], tag, header[_TAG_START:], ciphertext))
        return header + sealed


class Opener:
    """Opens what the peer sent in one direction and epoch over an ordered transport.

    ``messages`` counts what was opened and is the counter that the next message must have. ``key_id`` is the
    epoch's whole Key ID, ``session_id`` what each header must bear.
    """

    __slots__ = ("_decrypt", "_key_id", "_random", "_session_id", "messages")

    def __init__(self, aead: Aead, keys: TrafficKeys, key_id: int, session_id: int) -> None:
        self._decrypt = _cipher(aead, keys.key).decrypt
        self._random = keys.random
        self._key_id = (key_id & 0xFFFF).to_bytes(2, "big")
        self._session_id = session_id
        self.messages = 0

    def open(self, message: bytes | memoryview, now: int) -> Opened:
        """Open the next message; ``now`` is what the peer's clock should say (seconds modulo 2**32).

        Raises UnopenedMessage, and changes nothing, when the message is not sealed, out of order, of another
        session or key, more than 300 s off ``now``, or does not authenticate.
        """
        counter = self.messages
        random = self._random ^ (counter >> 8 & 0xFFFF)
        request_id = 0
        try:
            version, tier, compressed, push, size, unpack = _FORMS[message[0]]
            if version:
                _, opcode, sequence, session_id, timestamp, low, key_id, request_id = unpack(message)
            else:
                _, opcode, sequence, session_id, timestamp, low, key_id = unpack(message)
        except (KeyError, IndexError, struct.error):
            raise UnopenedMessage("this is no sealed message") from None
        if sequence != counter & 0xFF or low != random & 0xFFFF or counter > LAST_COUNTER:
            raise UnopenedMessage("the message is not the next one")
        if session_id != self._session_id or (tier != 3 and key_id != self._key_id):
            raise UnopenedMessage("the message is of another session or key")
        if (timestamp - now + WINDOW) & 0xFFFFFFFF > 2 * WINDOW:
            raise UnopenedMessage("the message's timestamp is too far off")
        header, sealed = message[:size], message[size:]
        if tier == 5:
            header = b"".join((message[:_TAG_START], message[_TAG_END:size]))
            sealed = b"".join((sealed, message[_TAG_START:_TAG_END]))
        try:
            payload = self._decrypt(_pack_nonce(timestamp, random, counter), sealed, header)
        except InvalidTag:
            raise UnopenedMessage("the message does not authenticate") from None
        self.messages = counter + 1
        return _new(Opened, (version, tier, compressed, push, opcode, request_id, timestamp, payload))


def append_mac(message: bytes, key: bytes, length: int) -> bytes:
    """Header ‖ payload with an HMAC-SHA256 trailer of ``length`` bytes, 4 or 8 (draft Table 1)."""
    return message + _mac(message, key, length)


def check_mac(message: bytes | memoryview, key: bytes, length: int) -> bytes | memoryview:
    """The message without its trailer of ``length`` bytes. Raises UnopenedMessage when that is wrong."""
    body = message[: max(len(message) - length, 0)]
    if not hmac.compare_digest(message[len(body) :], _mac(body, key, length)):
        raise UnopenedMessage("the message's HMAC trailer is wrong")
    return body


def _mac(message: bytes | memoryview, key: bytes, length: int) -> bytes:
    if length not in MAC_SIZES:
        raise LocalError(f"an HMAC trailer has 4 or 8 bytes, not {length}")
    return hmac.digest(key, message, "sha256")[:length]
