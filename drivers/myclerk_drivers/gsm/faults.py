"""What the error codes of modems mean (TS 27.007 section 9.2, TS 27.005 section 3.2.5), and the status of each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    HardwareError,
    NotFound,
    OperationError,
    ServiceUnavailable,
    Unsupported,
)

CME: Mapping[int, str] = {
    0: "phone failure", 1: "no connection to the phone", 3: "operation not allowed",
    4: "operation not supported", 5: "PH-SIM PIN required", 6: "PH-FSIM PIN required",
    10: "no SIM is inserted", 11: "the SIM wants its PIN", 12: "the SIM wants its PUK",
    13: "SIM failure", 14: "the SIM is busy", 15: "this is the wrong SIM",
    16: "incorrect password", 17: "the SIM wants its PIN2", 18: "the SIM wants its PUK2",
    20: "memory full", 21: "invalid index", 22: "not found", 23: "memory failure",
    24: "text too long", 25: "invalid characters in the text", 26: "dial string too long",
    27: "invalid characters in the dial string", 30: "no network service", 31: "network timeout",
    32: "only emergency calls are allowed", 40: "network personalisation PIN required",
    50: "incorrect parameters", 100: "unknown error", 103: "illegal mobile station",
    106: "illegal mobile equipment", 107: "GPRS services not allowed", 111: "PLMN not allowed",
    112: "location area not allowed", 113: "roaming not allowed in this location area",
    504: "GNSS is on already", 505: "GNSS is off", 516: "no GNSS fix yet", 549: "unknown GNSS error",
}  # fmt: skip
"""+CME ERROR codes; those from 504 on are Quectel's of the EC2x GNSS application note."""

CMS: Mapping[int, str] = {
    1: "unassigned number", 8: "operator determined barring", 10: "call barred",
    21: "short message transfer rejected", 27: "destination out of service", 28: "unidentified subscriber",
    29: "facility rejected", 30: "unknown subscriber", 38: "network out of order", 41: "temporary failure",
    42: "congestion", 47: "resources unavailable", 50: "requested facility not subscribed",
    69: "requested facility not implemented", 81: "invalid reference", 95: "invalid message",
    96: "invalid mandatory information", 97: "message type unknown", 98: "message not compatible",
    99: "information element unknown", 111: "protocol error", 127: "interworking",
    300: "failure of the modem", 301: "the SMS service is reserved", 302: "operation not allowed",
    303: "operation not supported", 304: "invalid PDU", 305: "invalid text parameter",
    310: "no SIM is inserted", 311: "the SIM wants its PIN", 312: "PH-SIM PIN required", 313: "SIM failure",
    314: "the SIM is busy", 315: "this is the wrong SIM", 316: "the SIM wants its PUK",
    320: "memory failure", 321: "invalid memory index", 322: "memory full",
    330: "the service centre's number is unknown", 331: "no network service", 332: "network timeout",
    340: "no acknowledgement was expected", 500: "unknown error",
}  # fmt: skip
"""+CMS ERROR codes."""

_NO_SIM = {10, 310}
_LOCKED = {5, 11, 12, 17, 18, 40, 311, 312, 316}
_BUSY = {14, 314, 20, 322}
_NETWORK = {30, 31, 32, 38, 41, 42, 47, 331, 332, 516}
_UNSUPPORTED = {4, 303, 69}
_NOT_FOUND = {21, 22, 321}
_BAD = {16, 24, 25, 26, 27, 304, 305}


class AtError(Exception):
    """A command ended with an error: ``kind`` is "CME", "CMS" or "" (a bare ERROR, or the result of a call)."""

    def __init__(self, command: str, final: str) -> None:
        super().__init__(f"{command}: {final}")
        self.command = command
        self.final = final
        found = re.fullmatch(r"\+(CM[ES]) ERROR: ?(\d+)", final)
        self.kind = found[1] if found else ""
        self.code = int(found[2]) if found else None

    @property
    def meaning(self) -> str:
        """In words, as far as the code is known."""
        if self.code is None:
            return self.final.partition("ERROR:")[2].strip() or self.final
        table = CME if self.kind == "CME" else CMS
        return table.get(self.code, f"error {self.code} of the {'network' if self.code < 300 else 'modem'}")

    @property
    def is_passing(self) -> bool:
        """Whether it may be otherwise in a moment: the SIM is still being read."""
        return self.code in (14, 314)


class NoAnswer(Exception):
    """A command had no final result code in time: whether it was done is not known."""


def status_of(error: AtError, name: str, doing: str) -> OperationError:
    """The error to raise when ``doing`` something with the modem ``name`` failed."""
    code, why = error.code, error.meaning
    sentence = f"{doing} failed on {name}: {why}"
    symbol = f"{error.kind}-{code}" if code is not None else None
    if code in _NO_SIM:
        return HardwareError(f"{sentence}; insert one", errno=symbol)
    if code in _LOCKED:
        return Conflict(f"{sentence}; unlock it with `myclerk modem init --pin`", errno=symbol)
    if code in _BUSY:
        advice = "delete messages" if code in (20, 322) else "try again in a moment"
        return Conflict(f"{sentence}; {advice}", errno=symbol)
    if code in _NETWORK:
        return ServiceUnavailable(sentence, errno=symbol)
    if code in _UNSUPPORTED:
        return Unsupported(sentence, errno=symbol)
    if code in _NOT_FOUND:
        return NotFound(sentence, errno=symbol)
    if code in _BAD:
        return BadRequest(sentence, errno=symbol)
    return HardwareError(sentence, errno=symbol)
