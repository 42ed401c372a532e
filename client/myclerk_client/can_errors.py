"""What the error frames of a CAN controller say (linux/can/error.h), in the words of can-utils."""

from __future__ import annotations

from dataclasses import dataclass

LOST_ARBITRATION, CONTROLLER, PROTOCOL, TRANSCEIVER, COUNTERS = 0x002, 0x004, 0x008, 0x010, 0x200

CLASSES = (
    "tx-timeout", "lost-arbitration", "controller-problem", "protocol-violation", "transceiver-status",
    "no-acknowledgement-on-tx", "bus-off", "bus-error", "restarted-after-bus-off", "error-counter-tx-rx",
)  # fmt: skip
"""By the bits of the identifier, from the lowest."""

CONTROLLER_PROBLEMS = (
    "rx-overflow", "tx-overflow", "rx-error-warning", "tx-error-warning", "rx-error-passive",
    "tx-error-passive", "back-to-error-active",
)  # fmt: skip
"""By the bits of data[1]."""

VIOLATIONS = (
    "single-bit-error", "frame-format-error", "bit-stuffing-error", "tx-dominant-bit-error",
    "tx-recessive-bit-error", "bus-overload", "active-error", "error-on-tx",
)  # fmt: skip
"""By the bits of data[2]."""

LOCATIONS = {
    0x02: "id.28-to-id.21", 0x03: "start-of-frame", 0x04: "bit-srtr", 0x05: "bit-ide", 0x06: "id.20-to-id.18",
    0x07: "id.17-to-id.13", 0x08: "crc-sequence", 0x09: "reserved-bit-0", 0x0A: "data-field",
    0x0B: "data-length-code", 0x0C: "bit-rtr", 0x0D: "reserved-bit-1", 0x0E: "id.4-to-id.0",
    0x0F: "id.12-to-id.5", 0x11: "active-error-flag", 0x12: "intermission", 0x13: "tolerate-dominant-bits",
    0x16: "passive-error-flag", 0x17: "error-delimiter", 0x18: "crc-delimiter", 0x19: "acknowledge-slot",
    0x1A: "end-of-frame", 0x1B: "acknowledge-delimiter", 0x1C: "overload-flag",
}  # fmt: skip
"""Where in the frame, by data[3]."""

TRANSCEIVER_STATUS = {
    0x04: "canh-no-wire", 0x05: "canh-short-to-battery", 0x06: "canh-short-to-vcc", 0x07: "canh-short-to-ground",
    0x40: "canl-no-wire", 0x50: "canl-short-to-battery", 0x60: "canl-short-to-vcc", 0x70: "canl-short-to-ground",
    0x80: "canl-short-to-canh",
}  # fmt: skip
"""By data[4]; the nibbles of CANH and CANL may come together."""


@dataclass(frozen=True, slots=True)
class CanError:
    """An error frame in words. ``str()`` is what ``candump -e`` prints.

    ``classes`` is what happened; the others say more where their class has more: ``arbitration_bit`` (0:
    unknown), ``controller`` problems, protocol ``violations`` and their ``location`` in the frame,
    ``transceiver`` status; ``tx_errors`` and ``rx_errors`` are the controller's counters, None if not told.
    """

    classes: tuple[str, ...]
    arbitration_bit: int | None = None
    controller: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    location: str | None = None
    transceiver: tuple[str, ...] = ()
    tx_errors: int | None = None
    rx_errors: int | None = None

    @classmethod
    def decode(cls, error_class: int, data: bytes) -> CanError:
        """From the identifier of an error frame without its flag, and its data (short data counts as 0s)."""
        data = data.ljust(8, b"\0")
        counted = bool(error_class & COUNTERS or data[6] or data[7])
        protocol = bool(error_class & PROTOCOL)
        return cls(
            _named(error_class, CLASSES),
            data[0] if error_class & LOST_ARBITRATION else None,
            _named(data[1], CONTROLLER_PROBLEMS) if error_class & CONTROLLER else (),
            _named(data[2], VIOLATIONS) if protocol else (),
            LOCATIONS.get(data[3]) if protocol else None,
            _transceiver(data[4]) if error_class & TRANSCEIVER else (),
            data[6] if counted else None,
            data[7] if counted else None,
        )

    def __str__(self) -> str:
        parts = [name + self._details(name) for name in self.classes]
        if self.tx_errors is not None and CLASSES[-1] not in self.classes:
            parts.append(CLASSES[-1] + self._details(CLASSES[-1]))
        return ",".join(parts)

    def _details(self, name: str) -> str:
        if name == "lost-arbitration":
            return f"{{at bit {self.arbitration_bit}}}"
        if name == "controller-problem":
            return f"{{{','.join(self.controller)}}}"
        if name == "protocol-violation":
            return f"{{{{{','.join(self.violations)}}}{{{self.location or ''}}}}}"
        if name == "transceiver-status" and self.transceiver:
            return f"{{{','.join(self.transceiver)}}}"
        if name == CLASSES[-1]:
            return f"{{{{{self.tx_errors}}}{{{self.rx_errors}}}}}"
        return ""


def _named(bits: int, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(names) if bits >> bit & 1)


def _transceiver(status: int) -> tuple[str, ...]:
    found = (TRANSCEIVER_STATUS.get(part) for part in (status & 0x0F, status & 0xF0))
    return tuple(name for name in found if name is not None)
