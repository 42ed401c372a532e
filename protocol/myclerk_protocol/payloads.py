"""Strict MessagePack: the maps that are the payloads of messages (docs/protocol.md).

A payload is one MessagePack map with text keys and nothing behind it; zero bytes are the empty map; nil means
absent. Duplicate keys, extension types (timestamps included), invalid UTF-8 and more than
:data:`MAXIMUM_DEPTH` nested containers are refused at every level, whether or not anybody knows the key.

Nearly every payload is a small map of scalars, so that is tried first and costs one call into msgpack and one
look at each value. What that cannot prove right (anything nested, anything odd) is taken apart with care.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeAlias

from msgpack import Packer, Unpacker, UnpackException, packb, unpackb

from .status import BadRequest, LocalError

Data: TypeAlias = bytes | bytearray | memoryview

MAXIMUM_DEPTH = 8
"""Nested containers that a payload may have, its own map being the first."""

SCALARS = frozenset((int, str, bytes, float, bool))
FIXMAP = 0x80  # the header of a map of n <= 15 pairs is FIXMAP + n
UNPROVEN_SIZE = 256  # below this a payload that lies about its lengths cannot make msgpack allocate much
LOCATED_PAIRS = 256  # how many pairs are searched for the key at fault, so that a refusal stays cheap
SHOWN_CHARACTERS = 64  # of a peer's key, in a message that goes back to it
# One packer for all costs a third of one for each payload; msgpack's pure Python form is not safe in threads.
_pack = packb if Packer.__module__ == "msgpack.fallback" else Packer().pack

UNPACKING_ERRORS = (ValueError, TypeError, OverflowError, RecursionError, UnpackException)


class _Refused(Exception):
    """Why a value is refused; becomes a BadRequest once the top-level key is known."""


def unpack(data: Data) -> dict[str, Any]:
    """The map that ``data`` holds, without the keys whose value is nil, at every level.

    Raises BadRequest with ``key`` (the top-level key at fault, "" where there is none) for everything that
    the profile forbids and for everything that is not MessagePack; never anything else. Memory use is bounded
    by the length of ``data``, whatever lengths it declares.
    """
    if not data:
        return {}
    try:
        values = unpackb(data, max_array_len=0)  # an array with anything in it fails at once
    except UNPACKING_ERRORS:
        return _unpack_nested(data)
    if type(values) is not dict or data[0] - FIXMAP != len(values):
        return _unpack_nested(data)
    for key, value in values.items():
        if type(value) not in SCALARS or type(key) is not str:
            return _unpack_nested(data)
    return values


def pack(values: Mapping[str, Any]) -> bytes:
    """The payload that holds ``values`` without those that are None; b"" for nothing.

    The keys are wire names. A None further down is sent as nil, which means absent as well. Raises LocalError
    for values that MessagePack has no type for, such as an integer beyond 64 bits.
    """
    return pack_present({key: value for key, value in values.items() if value is not None})


def pack_present(values: Mapping[str, Any]) -> bytes:
    """As :func:`pack`, for ``values`` of which none is None."""
    if not values:
        return b""
    try:
        packed: bytes = _pack(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise LocalError(f"this payload cannot be packed: {error}") from None
    return packed


def shortened(key: str) -> str:
    """``key`` cut to what fits into a message that goes back to the peer that sent it."""
    return key if len(key) <= SHOWN_CHARACTERS else key[: SHOWN_CHARACTERS - 1] + "…"


def _unpack_nested(data: Data) -> dict[str, Any]:
    """Like :func:`unpack`, for every payload; a few times slower."""
    try:
        if len(data) >= UNPROVEN_SIZE:
            _unpacker(data).skip()  # builds nothing; from here on every declared length is a real one
        values = unpackb(data, object_pairs_hook=_without_nil)
        if type(values) is not dict:
            raise _Refused("is no map")
        _check(values, 1)
    except (*UNPACKING_ERRORS, _Refused):
        values = None
    checked: dict[str, Any] = values if values is not None else _refuse(data)
    return checked


def _unpacker(data: Data) -> Any:
    unpacker = Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    return unpacker


def _without_nil(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The map made of ``pairs``; msgpack calls this for each map, innermost first."""
    pairs = list(pairs)  # msgpack 1.0.3 in pure Python (no wheel, no compiler) hands over a generator
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _Refused("has a key twice")
    for key, value in pairs:
        if type(key) is not str:
            raise _Refused("has a key that is not text")
        if value is None:
            del values[key]
    return values


def _check(container: Any, depth: int) -> None:
    """Refuse what ``container``, a dict or list at level ``depth``, must not have in it."""
    for item in container.values() if type(container) is dict else container:
        kind = type(item)
        if kind in SCALARS:
            continue
        if kind is dict or kind is list:
            if depth == MAXIMUM_DEPTH:
                raise _Refused(f"nests more than {MAXIMUM_DEPTH} containers")
            _check(item, depth + 1)
        elif item is not None:
            raise _Refused("has an extension type, which payloads do not use")


def _refuse(data: Data) -> NoReturn:
    """Raise BadRequest for a payload that is known to be wrong, naming the key at fault."""
    key = ""
    unpacker = _unpacker(data)
    view = memoryview(data)
    seen: set[str] = set()
    try:
        for _ in range(min(unpacker.read_map_header(), LOCATED_PAIRS)):
            key = ""
            found = _next(unpacker, view)
            if type(found) is not str:
                raise _Refused("has a key that is not text")
            key = found
            if key in seen:
                raise _Refused("is there twice")
            seen.add(key)
            _next(unpacker, view)
    except (*UNPACKING_ERRORS, _Refused) as error:
        subject = f"`{shortened(key)}`" if key else "the payload"
        raise BadRequest(f"{subject} {_reason(error)}", key=shortened(key)) from None
    raise BadRequest("the payload is not one whole map of distinct text keys with nothing behind it", key="")


def _next(unpacker: Any, view: memoryview) -> Any:
    """The next key or value of the payload's map, checked with everything in it."""
    start = unpacker.tell()
    unpacker.skip()  # builds nothing: only then is it known that the declared lengths are real
    value = unpackb(view[start : unpacker.tell()], object_pairs_hook=_without_nil)
    _check([value], 1)
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if isinstance(error, UnicodeDecodeError):
        return "has text that is not valid UTF-8"
    return "is not complete, valid MessagePack"
