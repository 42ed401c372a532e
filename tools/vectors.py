"""Write docs/vectors/*.json: test vectors for people who implement the protocol (docs/vectors/README.md).

``python tools/vectors.py`` writes what has one right value and takes the rest from ``recorded.json``;
``python tools/vectors.py --record`` draws that anew first (``cryptography`` 48 or newer).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import product
from typing import Any

import vector_epochs
import vector_identities
import vector_sessions
from vector_parts import (
    RECORDED,
    VECTORS,
    WALL,
    Document,
    octets,
    record_kem,
    record_signatures,
    recorded,
    sealed,
)

from myclerk_protocol import header, keys, payloads, seal, tunnel
from myclerk_protocol.header import Header
from myclerk_protocol.keys import Direction
from myclerk_protocol.operations import Opcode
from myclerk_protocol.seal import Aead
from myclerk_protocol.status import error_fields

EPOCH_KEY = bytes(range(32))
PAYLOAD = payloads.pack({"handle": 1, "data": b"AT\r"})
COUNTERS = (0, 1, 255, 256, 300, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0xFFFFFFFF)


def documents() -> dict[str, Any]:
    """Every file's content by its name."""
    return {
        "plain.json": plain(),
        "mac.json": mac(),
        "keys.json": derivations(),
        "sealed.json": sealed_messages(),
        "batch.json": batches(),
        "handshake.json": vector_sessions.handshakes(),
        "authentication.json": vector_identities.authentication(),
        "pairing.json": vector_identities.pairing(),
        "ticket.json": vector_epochs.Issued(
            vector_sessions.Handshake(vector_sessions.SETTINGS[0])
        ).document(),
        "resume.json": vector_epochs.Resumed().document(),
        "rotation.json": vector_epochs.rotations(),
    }


def render(document: Any) -> str:
    """A file's text."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def plain() -> list[Document]:
    """Whole messages without encryption: each tier that has them, in both versions."""
    cases = []
    for version, tier in product((0, 1), (0, 1, 2, 4)):
        head = Header(
            version=version,
            tier=tier,
            opcode=Opcode.KEEPALIVE if tier else 0,
            sequence=5 if tier else 0,
            session_id=0x1234 if tier >= 2 else 0,
            timestamp=WALL if tier >= 3 else 0,
            nonce=0xABCD if tier >= 3 else 0,
            key_id=1 if tier >= 4 else 0,
            request_id=7 if version else 0,
        )
        message = header.encode_plain(head, PAYLOAD)
        cases.append(
            {
                "version": version,
                "tier": tier,
                "opcode": head.opcode if tier else None,
                "sequence": head.sequence if tier else None,
                "session-id": head.session_id if tier >= 2 else None,
                "timestamp": head.timestamp if tier >= 3 else None,
                "nonce": head.nonce if tier >= 3 else None,
                "key-id": head.key_id if tier >= 4 else None,
                "request-id": head.request_id if version else None,
                "payload": PAYLOAD.hex(),
                "crc16": message[-2:].hex() if tier == 2 else None,
                "message": message.hex(),
            }
        )
    return cases


def mac() -> list[Document]:
    """HMAC trailers of the draft's Table 1, which no receiver accepts on a network."""
    head = Header(version=1, tier=1, opcode=Opcode.KEEPALIVE, sequence=5, request_id=7)
    message = header.encode_plain(head, PAYLOAD)
    return [
        {
            "session-key": EPOCH_KEY.hex(),
            "direction": int(direction),
            "mac-key": keys.mac_key(EPOCH_KEY, direction).hex(),
            "trailer-size": size,
            "message-without-trailer": message.hex(),
            "message": seal.append_mac(message, keys.mac_key(EPOCH_KEY, direction), size).hex(),
        }
        for direction, size in product(Direction, (4, 8))
    ]


def derivations() -> Document:
    """What is derived from one epoch key, and the nonces that follow."""
    traffic = {d: keys.traffic(EPOCH_KEY, d) for d in Direction}
    udp = {d: keys.udp_keys(EPOCH_KEY, d, 0x01020304) for d in Direction}
    return {
        "epoch-key": EPOCH_KEY.hex(),
        "traffic": [
            {"direction": int(d), "key": t.key.hex(), "random": f"{t.random:08x}"} for d, t in traffic.items()
        ],
        "udp": [
            {"direction": int(d), "request-id": 0x01020304, "key": t.key.hex(), "random": f"{t.random:08x}"}
            for d, t in udp.items()
        ],
        "mac": [{"direction": int(d), "key": keys.mac_key(EPOCH_KEY, d).hex()} for d in Direction],
        "rotated": [
            {"rotation-counter": n, "key": keys.rotated_key(EPOCH_KEY, n).hex()} for n in (1, 2, 0xFFFFFFFF)
        ],
        "nonces": [
            {
                "timestamp": WALL,
                "random": f"{traffic[Direction.CLIENT].random:08x}",
                "counter": counter,
                "nonce": (nonce := keys.nonce(WALL, traffic[Direction.CLIENT].random, counter)).hex(),
                "header-nonce": int.from_bytes(nonce[6:8], "big"),
                "header-sequence": counter & 0xFF,
            }
            for counter in COUNTERS
        ],
    }


def sealed_messages() -> list[Document]:
    """Each tier in both versions under both AEADs; then flags, both directions, counters and Key IDs."""
    common: Document = {"session_id": 0x1234, "opcode": Opcode.SERIAL_DATA_WRITE, "request_id": 7}
    client, agent = Direction.CLIENT, Direction.AGENT
    cases = [
        sealed(EPOCH_KEY, client, payload=PAYLOAD, aead=aead, version=version, tier=tier, **common)
        for aead, version, tier in product(Aead, (0, 1), (3, 4, 5))
    ]
    cases += [
        sealed(
            EPOCH_KEY,
            agent,
            payload=octets("compressed", 40),
            push=True,
            compressed=True,
            tier=tier,
            **common,
        )
        for tier in (3, 4, 5)
    ]
    cases += [sealed(EPOCH_KEY, client, payload=b"", tier=tier, **common) for tier in (3, 4, 5)]
    cases += [
        sealed(EPOCH_KEY, client, payload=PAYLOAD, counter=counter, key_id=0x10002, tier=4, **common)
        for counter in COUNTERS[1:]
    ]
    return cases


def batches() -> list[Document]:
    """A batch in each version, and the refusal of one whose second message is cut off."""
    inner = [
        (Opcode.SERIAL_DATA_WRITE, 7, False, PAYLOAD),
        (Opcode.SERIAL_CONTROL_GET, 8, False, payloads.pack({"handle": 1})),
        (Opcode.STREAM_DATA, 3, True, payloads.pack({"offset": 0, "data": b"OK\r\n"})),
    ]
    cases = [
        _batch(f"requests, version {version}", inner[:2], version, Direction.CLIENT) for version in (0, 1)
    ]
    cases.append(_batch("answers and a push, version 1", inner[1:], 1, Direction.AGENT))
    broken = tunnel.pack(inner[:2], 1)[:-1]
    try:
        tunnel.parse(broken, 1)
    except tunnel.TunnelError as error:
        refusal = payloads.pack(error_fields(error))
    cases.append({"name": "one that does not parse", "payload": broken.hex(), "refusal": refusal.hex()})
    return cases


def _batch(
    name: str, inner: list[tuple[Opcode, int, bool, bytes]], version: int, sender: Direction
) -> Document:
    payload = tunnel.pack(inner, version)
    return {
        "name": name,
        "version": version,
        "messages": [
            {
                "opcode": int(opcode),
                "request-id": request_id if version else None,
                "push": push,
                "payload": body.hex(),
            }
            for opcode, request_id, push, body in inner
        ],
        "payload": payload.hex(),
        "carrier": sealed(
            EPOCH_KEY, sender, session_id=0x1234, opcode=Opcode.NOP, payload=payload, version=version
        ),
    }


def record() -> None:
    """Draw anew what has no one right value."""
    RECORDED.parent.mkdir(parents=True, exist_ok=True)
    values: Document = {"ml-kem-768": record_kem()}
    RECORDED.write_text(render(values), "utf-8")
    values["ml-dsa-65"] = record_signatures(vector_identities.signed_messages())
    RECORDED.write_text(render(values), "utf-8")


def main(arguments: Sequence[str]) -> int:
    """Write every file; 0, or 2 when asked for anything else."""
    if list(arguments) not in ([], ["--record"]):
        print("usage: python tools/vectors.py [--record]", file=sys.stderr)
        return 2
    if arguments:
        record()
    assert recorded()
    for name, document in documents().items():
        (VECTORS / name).write_text(render(document), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
