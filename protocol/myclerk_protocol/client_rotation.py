"""Key rotation as the client starts it (docs/protocol.md)."""

from __future__ import annotations

from .channel import Channel
from .environment import Environment
from .exchange import Mode, Offer
from .operations import REGISTRY
from .outbox import Outbox
from .schema import Schema
from .status import Conflict, OperationError

SESSION_ROTATE = REGISTRY.by_name("SESSION_ROTATE").code
KEY_EXCHANGE_INIT = REGISTRY.by_name("KEY_EXCHANGE_INIT").code
KEY_EXCHANGE_COMPLETE = REGISTRY.by_name("KEY_EXCHANGE_COMPLETE").code
FRESH_SECONDS = 86400.0


class ClientRotation:
    """The rotations of one connection's channel: at 2**31 messages, at 24 h with fresh keys, or asked."""

    def __init__(self, channel: Channel, outbox: Outbox, environment: Environment, mode: Mode) -> None:
        self._channel = channel
        self._outbox = outbox
        self._environment = environment
        self._mode = mode
        self._fresh_at = environment.monotonic()
        self._running = False
        self._fresh_asked = False
        self._offer: Offer | None = None
        self._request = b""

    def due(self, now: float) -> bool | None:
        """Whether a rotation is due: True with fresh keys, False without, None not at all."""
        if self._running:
            return None
        if self._fresh_asked or now - self._fresh_at >= FRESH_SECONDS:
            return True
        return False if self._channel.wants_rotation else None

    def start(self, fresh: bool) -> tuple[int, bytes] | None:
        """Opcode and payload of the request to send, or None while a rotation is under way.

        Fresh keys asked for meanwhile are due once it is done.
        """
        if self._running:
            self._fresh_asked = self._fresh_asked or fresh
            return None
        self._running = True
        if not fresh:
            return SESSION_ROTATE, b""
        self._offer = offer = Offer(self._mode, self._environment)
        rule = Schema.load().request("KEY_EXCHANGE_INIT")
        assert rule is not None
        self._request = rule.encode(
            {"x25519_public": offer.x25519_public, "mlkem_public": offer.mlkem_public}
        )
        return KEY_EXCHANGE_INIT, self._request

    def answered(self, payload: bytes, error: OperationError | None) -> bool:
        """Switch both directions; True when fresh keys were made and the client must register again.

        A Conflict (the agent wants fresh keys, or rotates already) leaves the keys; another error is raised.
        """
        self._running = False
        offer, self._offer = self._offer, None
        if error is not None:
            if offer is not None:
                offer.wipe()
            if isinstance(error, Conflict):
                return False
            raise error
        if offer is None:
            key = self._channel.rotated()
        else:
            rule = Schema.load().response("KEY_EXCHANGE_INIT")
            assert rule is not None
            fields = rule.decode(payload)
            shared = offer.shared(fields["x25519_public"], fields.get("mlkem_ciphertext"))
            key = self._channel.refreshed(shared, self._request, payload)
            self._fresh_at = self._environment.monotonic()
            self._fresh_asked = False
        self._channel.begin_rotation(key)
        self._channel.switch_opener()
        self._outbox.send(1, 4, KEY_EXCHANGE_COMPLETE, 0, b"")
        self._channel.switch_sealer()
        return offer is not None
