"""Maps: the shape of every payload, compiled into one table that is walked once per payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..payloads import Data, pack_present, shortened, unpack
from ..status import LocalError, OperationError
from .names import python_name, to_python_names, to_wire_names, wire_name
from .shapes import Check, Mismatch, Rename, Shape, describe, unexpected

EXPECTED = "a map"


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a map: its name on the wire and in Python, whether it must be there, its CDDL type."""

    wire: str
    name: str
    required: bool
    type_text: str


class MapType(Shape):
    """A map as a rule of the schema defines it: decodes and encodes payloads, and says what is in them.

    ``members`` pairs each field with its shape; ``rest`` is the shape of the values under any further keys,
    or None when further keys are of no interest.
    """

    def __init__(
        self, name: str, members: tuple[tuple[Field, Shape], ...], rest: Shape | None = None
    ) -> None:
        self.name = name
        self.members = members
        self.rest = rest
        self._decoders: dict[str, tuple[str, Check]] = {}
        self._encoders: dict[str, tuple[str, Rename | None]] = {}
        for field, shape in members:
            self._decoders[field.wire] = (field.name, shape.checker())
            self._encoders[field.name] = (field.wire, shape.renamer())
        self._required = frozenset(field.name for field in self.fields if field.required)
        self._plain = frozenset(name for name, how in self._encoders.items() if how == (name, None))
        self._rest = None if rest is None else rest.checker()

    def __repr__(self) -> str:
        return f"<MapType {self.name}>"

    @property
    def fields(self) -> tuple[Field, ...]:
        """The keys in the order of the rule, those of included groups in their place."""
        return tuple(field for field, _ in self.members)

    # -- decoding ------------------------------------------------------------------------------------------

    def decode(self, data: Data) -> dict[str, Any]:
        """The values in a payload, by Python name, at every level; keys that the rule lacks are dropped.

        Raises BadRequest for a payload that is no strict MessagePack map, a key that is missing and a value
        that does not fit; TooLarge for text or binary longer than its limit. ``key`` in the error's details
        is the wire name, with its path where it is nested (``ports[2].vendor-id``).
        """
        try:
            return self._decode(unpack(data))
        except Mismatch as mismatch:
            raise _refusal(mismatch) from None

    def decode_map(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Like :meth:`decode`, for a payload that :func:`myclerk_protocol.payloads.unpack` has unpacked."""
        try:
            return self._decode(values)
        except Mismatch as mismatch:
            raise _refusal(mismatch) from None

    def _decode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        decoders = self._decoders
        decoded: dict[str, Any] = {}
        key = ""
        try:
            for key, value in values.items():
                if key in decoders:
                    name, check = decoders[key]
                    decoded[name] = check(value)
                elif self._rest is not None:
                    decoded[python_name(key)] = self._rest(value)
        except Mismatch as mismatch:
            mismatch.path.insert(0, key)
            raise
        if not self._required <= decoded.keys():
            raise self._missing(decoded)
        return decoded

    def _missing(self, decoded: Mapping[str, Any]) -> Mismatch:
        field, shape = next((f, s) for f, s in self.members if f.required and f.name not in decoded)
        mismatch = Mismatch(f"is missing; it must be {shape.expected}")
        mismatch.path.append(field.wire)
        return mismatch

    # -- encoding ------------------------------------------------------------------------------------------

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """The payload that holds ``values``, given by Python name, without those that are None.

        Values are not validated: the receiver does that. Raises LocalError for a name that the rule lacks.
        """
        if values.keys() <= self._plain and None not in values.values():
            return pack_present(values)
        return pack_present(self.encode_map(values))

    def encode_map(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values by wire name, at every level, without those that are None. Raises as :meth:`encode`."""
        encoders = self._encoders
        encoded: dict[str, Any] = {}
        for name, value in values.items():
            if name in encoders:
                wire, rename = encoders[name]
            elif self.rest is not None:
                wire, rename = wire_name(name), to_wire_names
            else:
                raise LocalError(f"{self.name} has no field {name!r}")
            if value is not None:
                encoded[wire] = value if rename is None else rename(value)
        return encoded

    # -- being a part of other shapes ----------------------------------------------------------------------

    @property
    def kinds(self) -> tuple[type, ...]:
        return (dict,)

    @property
    def expected(self) -> str:
        return EXPECTED

    def checker(self) -> Check:
        if self.rest is not None and not self.members and self.rest.checker() is to_python_names:
            decode: Check = to_python_names  # {* tstr => any}
        else:
            decode = self._decode

        def check(value: Any) -> Any:
            if type(value) is dict:
                return decode(value)
            raise unexpected(EXPECTED, describe(value))

        return check

    def renamer(self) -> Rename:
        return self.encode_map


def _refusal(mismatch: Mismatch) -> OperationError:
    path = "".join(
        f"[{step}]" if isinstance(step, int) else f".{shortened(step)}" for step in mismatch.path
    ).removeprefix(".")
    return mismatch.error(f"`{path}` {mismatch.problem}", key=path)
