"""Key rotation as the agent sees it (docs/protocol.md): it asks by push, answers, and waits for COMPLETE."""

from __future__ import annotations

from . import exchange, payloads
from .channel import Channel
from .environment import Environment
from .events import Request
from .exchange import Mode
from .operations import REGISTRY
from .outbox import Outbox
from .records import SessionRecord
from .schema import Schema
from .status import BadRequest, Conflict

SESSION_ROTATE = REGISTRY.by_name("SESSION_ROTATE").code
KEY_EXCHANGE_INIT = REGISTRY.by_name("KEY_EXCHANGE_INIT").code
FRESH_SECONDS = 86400.0
COMPLETE_SECONDS = 10.0
UNHEEDED_SECONDS = 300.0


class AgentRotation:
    """The rotations of one connection's channel."""

    def __init__(self, channel: Channel, outbox: Outbox, environment: Environment) -> None:
        self._channel = channel
        self._outbox = outbox
        self._environment = environment
        self._fresh_at = environment.monotonic()
        self._with_fresh = False
        self._fresh_due = False
        self._complete_by: float | None = None
        self._heed_by: float | None = None

    def start(self, request: Request, record: SessionRecord) -> None:
        """Serve SESSION_ROTATE or KEY_EXCHANGE_INIT: the answer is the last message under the old key.

        Raises Conflict while a rotation is under way, or when fresh keys are due; BadRequest for bad keys
        and without a Request ID.
        """
        if request.version and not request.request_id:
            raise BadRequest("a key rotation needs a Request ID: its answer is what switches the keys")
        if self._channel.rotating:
            raise Conflict("a key rotation is under way already")
        if request.opcode == SESSION_ROTATE:
            if self._fresh_due:
                raise Conflict("fresh keys are due: rotate with KEY_EXCHANGE_INIT")
            key, answer = self._channel.rotated(), b""
        else:
            key, answer = self._exchange(bytes(request.payload), record.mode)
        record.respond(request, answer)
        self._channel.begin_rotation(key)
        self._channel.switch_sealer()
        self._with_fresh = request.opcode == KEY_EXCHANGE_INIT
        self._complete_by = self._environment.monotonic() + COMPLETE_SECONDS
        self._heed_by = None

    def complete(self) -> None:
        """Serve KEY_EXCHANGE_COMPLETE: the old key is forgotten. Raises BadRequest out of turn."""
        if not self._channel.rotating:
            raise BadRequest("no key rotation is under way")
        self._channel.switch_opener()
        self._complete_by = None
        if self._with_fresh:
            self._fresh_due = False
            self._fresh_at = self._environment.monotonic()

    def tick(self, now: float, version: int) -> str:
        """Push when a rotation is due; the reason to end the connection when one is not heeded, or ""."""
        if self._complete_by is not None and now >= self._complete_by:
            return "a key rotation was not completed in 10 s"
        if self._heed_by is not None and now >= self._heed_by:
            return "the client did not rotate its keys when asked"
        if self._heed_by is None and not self._channel.rotating:
            self._fresh_due = now - self._fresh_at >= FRESH_SECONDS
            if self._fresh_due or self._channel.wants_rotation:
                fields = {"fresh": True} if self._fresh_due else {}
                self._outbox.send(version, 4, SESSION_ROTATE, 0, payloads.pack(fields), push=True)
                self._heed_by = now + UNHEEDED_SECONDS
        return ""

    def _exchange(self, request: bytes, mode: Mode) -> tuple[bytes, bytes]:
        fields_rule = Schema.load().request("KEY_EXCHANGE_INIT")
        answer_rule = Schema.load().response("KEY_EXCHANGE_INIT")
        assert fields_rule is not None
        assert answer_rule is not None
        fields = fields_rule.decode(request)
        if ("mlkem_public" in fields) != (mode is Mode.HYBRID):
            raise BadRequest("rotate in the session's own key exchange mode", key="mlkem-public")
        public, ciphertext, shared = exchange.answer(
            self._environment, fields["x25519_public"], fields.get("mlkem_public")
        )
        answer = answer_rule.encode({"x25519_public": public, "mlkem_ciphertext": ciphertext})
        return self._channel.refreshed(shared, request, answer), answer
