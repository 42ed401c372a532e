"""Strict JSON, base64url and time stamps: the text forms inside envelopes.

What two parsers could read in two ways is refused: duplicate members, padding, spare base64 bits, lone
surrogates, numbers that are not finite. Every flaw is BadRequest; the sentences never quote a value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from ..status import BadRequest

MAXIMUM_DEPTH = 16
"""Nested JSON containers that are read; an envelope in a catalog entry needs 6."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def dump_json(value: Any) -> bytes:
    """``value`` as JSON without white space, in UTF-8, members in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def load_json(data: bytes, what: str) -> Any:
    """The one JSON value in ``data``. ``what`` names it in the sentence of the BadRequest."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_distinct_members, parse_constant=_refuse_constant
        )
    except BadRequest as error:
        raise BadRequest(f"{what} {error.message}") from None
    except (ValueError, RecursionError):
        raise BadRequest(f"{what} is not JSON in UTF-8") from None
    _check(value, what, 1)
    return value


def load_object(data: bytes, what: str) -> dict[str, Any]:
    """The one JSON object in ``data``. Raises BadRequest for anything else."""
    return object_of(load_json(data, what), what)


def object_of(value: Any, what: str) -> dict[str, Any]:
    """``value`` if it is a JSON object, else BadRequest."""
    if type(value) is not dict:
        raise BadRequest(f"{what} is not a JSON object")
    return value


def text_member(members: Mapping[str, Any], name: str) -> str:
    """The text member ``name``. Raises BadRequest when it is missing or something else."""
    value = members.get(name)
    if type(value) is not str:
        raise BadRequest(f"the text member {name} is missing")
    return value


def binary_member(members: Mapping[str, Any], name: str, size: int | None = None) -> bytes:
    """The bytes of base64url member ``name``; ``size`` is the length that they must have."""
    value = base64url_decode(text_member(members, name), name)
    if size is not None and len(value) != size:
        raise BadRequest(f"the member {name} holds {len(value)} bytes where {size} are due")
    return value


def base64url_encode(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def base64url_decode(text: str, what: str) -> bytes:
    """The bytes behind ``text``, which must be exactly what :func:`base64url_encode` gives for them."""
    if _BASE64URL.fullmatch(text):
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            data = b""
        if base64url_encode(data) == text:
            return data
    raise BadRequest(f"{what} is not base64url without padding")


def format_time(seconds: float) -> str:
    """Unix time as the Mesh writes it: ``2021-08-05T16:37:43Z``, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_time(text: str, what: str) -> str:
    """``text`` if it is a time as :func:`format_time` writes it, else BadRequest."""
    try:
        if _TIME.fullmatch(text):
            datetime.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise BadRequest(f"{what} is not a time like 2021-08-05T16:37:43Z")


def _distinct_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadRequest("has a member twice")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise BadRequest("has a number that is not finite")


def _check(value: Any, what: str, depth: int) -> None:
    """Refuse nesting beyond :data:`MAXIMUM_DEPTH` and text that has no UTF-8 form."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRequest(f"{what} has text that is not Unicode") from None
    elif isinstance(value, dict | list):
        if depth > MAXIMUM_DEPTH:
            raise BadRequest(f"{what} nests more than {MAXIMUM_DEPTH} containers")
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(item, what, depth + 1)
