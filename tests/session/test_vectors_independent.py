"""The published test vectors, checked from the JSON alone: with general libraries, with none of our modules."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VECTORS = Path(__file__).parents[2] / "docs" / "vectors"
Case = dict[str, Any]
X = bytes.fromhex


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(material)


def traffic(key: bytes, direction: int, label: bytes = b"traffic", more: bytes = b"") -> tuple[str, str]:
    material = hkdf(key, label, bytes([direction]) + more, 36)
    return material[:32].hex(), material[32:].hex()


def header(case: Case, *, sealed: bool, nonce: int, sequence: int) -> bytes:
    """The header as it is authenticated: in tier 5 without the tag."""
    first = case["version"] << 6 | case["tier"] << 3 | sealed
    first |= bool(case.get("compressed")) << 2 | bool(case.get("push")) << 1
    parts = [struct.pack(">B", first)]
    if case["tier"] >= 1:
        parts.append(struct.pack(">HB", case["opcode"], sequence))
    if case["tier"] >= 2:
        parts.append(struct.pack(">H", case["session-id"]))
    if case["tier"] >= 3:
        parts.append(struct.pack(">IH", case["timestamp"], nonce))
    if case["tier"] >= 4:
        parts.append(struct.pack(">H", case["key-id"] & 0xFFFF))
    if case["version"]:
        parts.append(struct.pack(">I", case["request-id"]))
    return b"".join(parts)


def check_sealed(case: Case, epoch_key: bytes) -> bytes:
    """Make the message from its parts; its payload."""
    assert traffic(epoch_key, case["direction"]) == (case["traffic-key"], case["random"])
    counter = case["counter"]
    random = int(case["random"], 16) ^ (counter >> 8 & 0xFFFF)
    nonce = struct.pack(">III", case["timestamp"], random, counter)
    assert nonce == X(case["nonce"])
    associated = header(case, sealed=True, nonce=random & 0xFFFF, sequence=counter & 0xFF)
    assert associated == X(case["associated-data"])
    cipher = {"chacha20": ChaCha20Poly1305, "aes256gcm": AESGCM}[case["aead"]](X(case["traffic-key"]))
    output = cipher.encrypt(nonce, X(case["payload"]), associated)
    ciphertext, tag = output[:-16], output[-16:]
    if case["tier"] == 5:
        assert X(case["message"]) == associated[:14] + tag + associated[14:] + ciphertext
    else:
        assert X(case["message"]) == associated + ciphertext + tag
    return X(case["payload"])


def crc16(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value


# -- messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", load("plain"), ids=lambda case: f"V{case['version']} tier {case['tier']}")
def test_plain(case: Case) -> None:
    message = header(case, sealed=False, nonce=case["nonce"] or 0, sequence=case["sequence"] or 0)
    message += X(case["payload"])
    if case["tier"] == 2:
        assert crc16(b"123456789") == 0x29B1
        assert X(case["crc16"]) == crc16(message).to_bytes(2, "big")
        message += X(case["crc16"])
    assert message == X(case["message"])


@pytest.mark.parametrize("case", load("mac"))
def test_mac(case: Case) -> None:
    key = hkdf(X(case["session-key"]), b"mac", bytes([case["direction"]]), 32)
    assert key == X(case["mac-key"])
    message = X(case["message-without-trailer"])
    assert X(case["message"]) == message + hmac.digest(key, message, "sha256")[: case["trailer-size"]]


def test_keys() -> None:
    vector = load("keys")
    key = X(vector["epoch-key"])
    for case in vector["traffic"]:
        assert traffic(key, case["direction"]) == (case["key"], case["random"])
    for case in vector["udp"]:
        more = case["request-id"].to_bytes(4, "big")
        assert traffic(key, case["direction"], b"udp", more) == (case["key"], case["random"])
    for case in vector["mac"]:
        assert hkdf(key, b"mac", bytes([case["direction"]]), 32) == X(case["key"])
    for case in vector["rotated"]:
        assert hkdf(key, b"rotate", case["rotation-counter"].to_bytes(4, "big"), 32) == X(case["key"])
    for case in vector["nonces"]:
        random = int(case["random"], 16) ^ (case["counter"] >> 8 & 0xFFFF)
        assert struct.pack(">III", case["timestamp"], random, case["counter"]) == X(case["nonce"])
        assert (random & 0xFFFF, case["counter"] & 0xFF) == (case["header-nonce"], case["header-sequence"])


def test_sealed() -> None:
    cases = load("sealed")
    key = X(load("keys")["epoch-key"])
    for case in cases:
        check_sealed(case, key)
    forms = {(case["aead"], case["version"], case["tier"]) for case in cases}
    assert len(forms) == 12
    assert len({(case["direction"], case["nonce"], case["payload"], case["tier"]) for case in cases}) > 15


def test_batches() -> None:
    key = X(load("keys")["epoch-key"])
    *cases, refused = load("batch")
    for case in cases:
        run = b""
        for inner in case["messages"]:
            request_id = inner["request-id"].to_bytes(4, "big") if case["version"] else b""
            message = bytes([case["version"] << 6 | inner["push"] << 1]) + request_id
            message += inner["opcode"].to_bytes(2, "big") + X(inner["payload"])
            run += len(message).to_bytes(4, "big") + message
        assert run == X(case["payload"]) == check_sealed(case["carrier"], key)
        assert (case["carrier"]["opcode"], case["carrier"]["tier"]) == (0, 3)
        assert case["carrier"]["request-id"] == (0 if case["version"] else None)
    assert X(refused["payload"]) == X(cases[1]["payload"])[:-1]
    answer = msgpack.unpackb(X(refused["refusal"]))
    assert (answer["status"], answer["request-ids"]) == (0x10, [7])


# -- handshake -----------------------------------------------------------------------------------------------


def x25519(case: Case, prefix: str = "") -> bytes:
    """The shared secret of both private keys; where public keys are given they are checked."""
    privates = {
        side: X25519PrivateKey.from_private_bytes(X(case[f"{side}-x25519-private"]))
        for side in ("client", "agent")
    }
    publics = {side: private.public_key().public_bytes_raw() for side, private in privates.items()}
    for side, public in publics.items():
        assert case.get(f"{side}-x25519-public", public.hex()) == public.hex()
    shared = privates["client"].exchange(X25519PublicKey.from_public_bytes(publics["agent"]))
    assert shared == privates["agent"].exchange(X25519PublicKey.from_public_bytes(publics["client"]))
    return shared


def unsealed(message: bytes, version: int) -> tuple[tuple[int, ...], Case]:
    """The fields of a handshake message's header, and its map."""
    layout = struct.Struct(">BHBHIHH" + ("I" if version else ""))
    return layout.unpack_from(message), msgpack.unpackb(message[layout.size :])


@pytest.mark.parametrize("case", load("handshake"), ids=lambda case: case["name"])
def test_handshake(case: Case) -> None:
    version, first = case["version"], case["version"] << 6 | 4 << 3
    tail = (1,) if version else ()
    head, asked = unsealed(X(case["session-init"]), version)
    assert head == (first, 0x0003, 0, 0, case["client-timestamp"], 0, 0, *tail)
    kem = case["ml-kem-768"] or {}
    expected = {
        "nonce": X(case["client-nonce"]),
        "timestamp": case["client-timestamp"],
        "kex-mode": case["kex-mode"],
        "x25519-public": X(case["client-x25519-public"]),
        "capabilities": case["offered-capabilities"],
        "max-tier": case["selected-tier"],
    }
    assert asked == expected | ({"mlkem-public": X(kem["encapsulation-key"])} if kem else {})
    head, answer = unsealed(X(case["session-ack"]), version)
    assert head == (first, 0x0004, 0, case["session-id"], case["agent-timestamp"], 0, 0, *tail)
    expected = {
        "session-id": case["session-id"],
        "nonce": X(case["agent-nonce"]),
        "selected-tier": case["selected-tier"],
        "selected-kex-mode": case["kex-mode"],
        "x25519-public": X(case["agent-x25519-public"]),
        "selected-capabilities": case["selected-capabilities"],
    }
    assert answer == expected | ({"mlkem-ciphertext": X(kem["ciphertext"])} if kem else {})


@pytest.mark.parametrize("case", load("handshake"), ids=lambda case: case["name"])
def test_session_key(case: Case) -> None:
    kem = case["ml-kem-768"] or {}
    transcript = hashlib.sha256(X(case["session-init"]) + X(case["session-ack"])).digest()
    material = x25519(case) + X(kem.get("shared-secret", ""))
    label = b"myclerk-session-v1-hybrid" if kem else b"myclerk-session-v1-classical"
    salt = X(case["client-nonce"]) + X(case["agent-nonce"])
    assert case["transcript"] == transcript.hex()
    assert (case["input-key-material"], case["salt"]) == (material.hex(), salt.hex())
    assert case["info"] == (label + transcript).hex()
    key = hkdf(material, salt, label + transcript, 32)
    assert case["session-key"] == key.hex()
    for direction, side in enumerate(("client", "agent")):
        shown = case["traffic"][side]
        assert traffic(key, direction) == (shown["key"], shown["random"])


@pytest.mark.parametrize("case", load("handshake"), ids=lambda case: case["name"])
def test_both_sides_prove_themselves(case: Case) -> None:
    people = load("authentication")
    key, transcript = X(case["session-key"]), X(case["transcript"])
    complete = case["key-exchange-complete"]
    proof = msgpack.unpackb(check_sealed(complete, key))
    assert (complete["opcode"], complete["tier"], complete["push"], complete["counter"]) == (0x12, 4, True, 0)
    assert proof["profile"] == people["agent"]["profile"].encode()
    assert proof["time"] == case["agent-timestamp"]
    agent = Ed448PublicKey.from_public_bytes(X(people["agent"]["ed448-public"]))
    agent.verify(proof["signature"], b"myclerk-agent-auth-v1" + transcript)
    register = case["client-register"]
    claim = msgpack.unpackb(check_sealed(register, key))
    assert (register["opcode"], register["tier"], register["counter"]) == (0x250, 3, 0)
    assert register["request-id"] == (2 if case["version"] else None)
    assert claim["device"] == people["client"]["fingerprint"]
    message = b"myclerk-client-auth-v1" + transcript + people["agent"]["fingerprint"].encode()
    client = Ed448PublicKey.from_public_bytes(X(people["client"]["ed448-public"]))
    client.verify(claim["signature"], message)


@pytest.mark.parametrize("name", ["handshake", "rotation"])
def test_ml_kem_768(name: str) -> None:
    library = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mlkem")
    case = load("recorded")["ml-kem-768"][name]
    private = library.MLKEM768PrivateKey.from_seed_bytes(X(case["seed"]))
    assert private.public_key().public_bytes_raw() == X(case["encapsulation-key"])
    assert private.decapsulate(X(case["ciphertext"])) == X(case["shared-secret"])


# -- who is who ----------------------------------------------------------------------------------------------


def base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def udf(kind: int, data: bytes) -> str:
    """A UDF of 140 bits with its hyphens."""
    text = base64.b32encode(bytes([kind]) + data)[:28].decode()
    return "-".join(text[start : start + 4] for start in range(0, 28, 4))


def fingerprint(public: bytes) -> str:
    key_info = X("3047300706032b65710500033c000439") + public
    digest = hashlib.sha512(b"PKIXKey:" + hashlib.sha512(key_info).digest()).digest()
    assert digest[-3:] != bytes(3)  # no key here has the trailing zeros that change its type
    return udf(96, digest)


def check_profile(envelope: str, kind: str, public: bytes) -> Case:
    """Verify a profile; the members of its payload."""
    head, payload, trailer = json.loads(envelope)
    name = fingerprint(public)
    meta = json.loads(base64url(head["ContentMetaData"]))
    assert (head["EnvelopeId"], meta["UniqueId"], meta["MessageType"]) == (name, name, kind)
    digest = hashlib.sha512(base64url(payload)).digest()
    assert base64url(trailer["PayloadDigest"]) == digest
    (signature,) = trailer["signatures"]
    assert signature["kid"] == name
    Ed448PublicKey.from_public_bytes(public).verify(base64url(signature["signature"]), digest)
    members: Case = json.loads(base64url(payload))[kind]
    key_data = members["ProfileSignature"]
    assert key_data["Udf"] == name
    assert base64url(key_data["PublicParameters"]["PublicKeyECDH"]["Public"]) == public
    return members


@pytest.mark.parametrize(("name", "kind"), [("agent", "ProfileHost"), ("client", "ProfileDevice")])
def test_authentication(name: str, kind: str) -> None:
    vector = load("authentication")
    case, transcript = vector[name], X(vector["transcript"])
    assert vector["transcript"] == load("handshake")[0]["transcript"]
    private = Ed448PrivateKey.from_private_bytes(X(case["ed448-private"]))
    public = private.public_key().public_bytes_raw()
    assert public == X(case["ed448-public"])
    assert fingerprint(public).replace("-", "") == case["fingerprint"]
    assert "MlDsa65" not in check_profile(case["profile"], kind, public)
    label = f"myclerk-{name}-auth-v1".encode()
    more = vector["agent"]["fingerprint"].encode() if name == "client" else b""
    assert X(case["message"]) == label + transcript + more
    assert private.sign(X(case["message"])) == X(case["ed448-signature"])


@pytest.mark.parametrize(("name", "kind"), [("agent", "ProfileHost"), ("client", "ProfileDevice")])
def test_ml_dsa_65(name: str, kind: str) -> None:
    library = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    person = load("authentication")[name]
    case = person["ml-dsa-65"]
    public = library.MLDSA65PublicKey.from_public_bytes(X(case["public-key"]))
    public.verify(X(case["signature"]), X(person["message"]))
    private = library.MLDSA65PrivateKey.from_seed_bytes(X(case["seed"]))
    assert private.public_key().public_bytes_raw() == X(case["public-key"])
    members = check_profile(case["profile"], kind, X(person["ed448-public"]))
    assert base64url(members["MlDsa65"]) == hashlib.sha512(X(case["public-key"])).digest()


def test_pairing() -> None:
    case, people = load("pairing"), load("authentication")
    text = case["pin"].replace("-", "")
    data = base64.b32decode(text + "=" * (-len(text) % 8))[1:]
    salted = hmac.digest(data, b"Device", "sha512")
    key = salted[:16]
    assert (case["salted-pin"], case["k"]) == (udf(0, salted), key.hex())
    agent_name = fingerprint(X(people["agent"]["ed448-public"]))
    assert case["account"] == agent_name
    account, transcript = agent_name.encode(), X(case["transcript"])
    assert case["pin-id"] == udf(0, hmac.digest(key, account, "sha512"))
    client, agent = (
        hashlib.sha512(case[f"{side}-profile"].encode()).digest() for side in ("client", "agent")
    )
    witness = hmac.digest(key, account + transcript + client, "sha512")
    assert case["pin-witness"] == witness.hex()
    answer = hmac.digest(key, b"myclerk-agent-pin-v1" + transcript + agent + witness, "sha512")
    assert case["agent-witness"] == answer.hex()
    head, payload = json.loads(case["request"])
    request = json.loads(base64url(payload))["RequestConnection"]
    assert request["PinId"] == case["pin-id"]
    assert base64url(request["PinWitness"]) == witness
    assert base64url(request["ClientNonce"]) == transcript
    assert request["AuthenticatedData"] == fingerprint(X(people["client"]["ed448-public"]))
    text = request["MessageId"].replace("-", "")
    message_id = base64.b32decode(text + "=" * (-len(text) % 8))[1:17]
    digest = hashlib.sha512(b"application/mmm/envelopeid:" + hashlib.sha512(message_id).digest()).digest()
    assert head["EnvelopeId"] == udf(96, digest)


# -- later epochs --------------------------------------------------------------------------------------------


def test_ticket() -> None:
    case, first = load("ticket"), load("handshake")[0]
    assert (case["epoch-key"], case["transcript"]) == (first["session-key"], first["transcript"])
    secret = hkdf(X(case["epoch-key"]), b"resume", X(case["transcript"]), 32)
    assert case["ticket-key"] == secret.hex()
    text = case["device"]
    assert base64.b32decode(text + "=" * (-len(text) % 8))[1:17] == X(case["device-data"])
    plaintext = secret + X(case["device-data"]) + struct.pack(">II", case["issued-at"], case["expires-at"])
    assert case["plaintext"] == plaintext.hex()
    assert X(case["associated-data"]) == b"myclerk-ticket-v1" + case["session-id"].to_bytes(2, "big")
    assert X(case["iv"]) == bytes(4) + X(case["ticket"])[:8]
    output = AESGCM(X(case["sealing-key"])).encrypt(X(case["iv"]), plaintext, X(case["associated-data"]))
    assert (X(case["ticket"])[8:], X(case["ticket-tag"])) == (output[:-16], output[-16:])
    answer = msgpack.unpackb(check_sealed(case["client-register-answer"], X(first["session-key"])))
    assert answer == {
        "ticket": X(case["ticket"]), "ticket-tag": X(case["ticket-tag"]), "expires-at": case["expires-at"],
    }  # fmt: skip


def test_resume() -> None:
    case, ticket = load("resume"), load("ticket")
    head, asked = unsealed(X(case["session-resume"]), 1)
    assert head == (0x60, 0x0007, 0, 0, case["client-timestamp"], 0, 0, 1)
    assert asked == {
        "old-session-id": ticket["session-id"],
        "ticket": X(ticket["ticket"]),
        "ticket-tag": X(ticket["ticket-tag"]),
        "nonce": X(case["client-nonce"]),
        "timestamp": case["client-timestamp"],
        "x25519-public": X(case["client-x25519-public"]),
    }
    head, answer = unsealed(X(case["session-resumed"]), 1)
    assert head == (0x60, 0x0008, 0, case["session-id"], case["agent-timestamp"], 0, 0, 1)
    assert (answer["session-id"], answer["nonce"]) == (case["session-id"], X(case["agent-nonce"]))
    transcript = hashlib.sha256(X(case["session-resume"]) + X(case["session-resumed"])).digest()
    material = X(ticket["ticket-key"]) + x25519(case)
    salt = X(case["client-nonce"]) + X(case["agent-nonce"])
    info = b"myclerk-session-v1-resume" + transcript
    assert (case["transcript"], case["info"]) == (transcript.hex(), info.hex())
    assert (case["input-key-material"], case["salt"]) == (material.hex(), salt.hex())
    key = hkdf(material, salt, info, 32)
    assert case["epoch-key"] == key.hex()
    proof = msgpack.unpackb(check_sealed(case["key-exchange-complete"], key))
    assert (proof["held"], len(proof["ticket"]), len(proof["ticket-tag"])) == (True, 64, 16)
    secret = hkdf(key, b"resume", transcript, 32)
    assert case["fresh-ticket-key"] == secret.hex()
    plaintext = AESGCM(X(ticket["sealing-key"])).decrypt(
        bytes(4) + proof["ticket"][:8],
        proof["ticket"][8:] + proof["ticket-tag"],
        b"myclerk-ticket-v1" + case["session-id"].to_bytes(2, "big"),
    )
    assert plaintext[:32] == secret
    assert check_sealed(case["proof"], key) == b""


@pytest.mark.parametrize("case", load("rotation"), ids=lambda case: case["name"])
def test_rotation(case: Case) -> None:
    current = X(case["current-key"])
    counter = case["rotation-counter"].to_bytes(4, "big")
    material, info = current, counter
    if "request" in case:
        kem = case["ml-kem-768"] or {}
        material += x25519(case) + X(kem.get("shared-secret", ""))
        info += hashlib.sha256(X(case["request"]) + X(case["response"])).digest()
        request, response = msgpack.unpackb(X(case["request"])), msgpack.unpackb(X(case["response"]))
        assert request.get("mlkem-public", b"") == X(kem.get("encapsulation-key", ""))
        assert response.get("mlkem-ciphertext", b"") == X(kem.get("ciphertext", ""))
        assert case["input-key-material"] == material.hex()
    assert (case["salt"], case["info"]) == (b"rotate".hex(), info.hex())
    new = hkdf(material, b"rotate", info, 32)
    assert case["new-key"] == new.hex()
    ask, answer, complete, first_asked, first_answered = case["messages"]
    assert check_sealed(ask, current) == X(case.get("request", ""))
    assert check_sealed(answer, current) == X(case.get("response", ""))
    assert check_sealed(complete, current) == b""
    assert (complete["opcode"], complete["request-id"], complete["counter"]) == (0x12, 0, ask["counter"] + 1)
    for message, direction in ((first_asked, 0), (first_answered, 1)):
        check_sealed(message, new)
        assert (message["direction"], message["key-id"], message["counter"]) == (direction, 2, 0)
