"""Modes of access and what else the wire has as numbers, by the words that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myclerk_protocol.mesh import udf
from myclerk_protocol.status import LocalError

MODES = ("none", "read", "write", "read-write", "exclusive")
"""Modes of access (draft section 6.3.4); the place of each is its number."""

STATES = ("pending", "approved", "partially approved", "rejected", "expired", "cancelled")
"""States of a device request (draft section 6.3.5)."""


def mode_number(access: str | int) -> int:
    """The number of a mode given by word ("read-write") or number. Raises LocalError."""
    if isinstance(access, str) and access in MODES:
        return MODES.index(access)
    if isinstance(access, int) and 0 <= access < len(MODES):
        return access
    raise LocalError(f"{access!r} is no access; there are {', '.join(MODES)}")


def in_words(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an answer with its ``access`` as a word."""
    return {**fields, "access": MODES[fields["access"]]}


def subject_of(text: str) -> str:
    """A group ("@lab") as it is, a fingerprint as the wire has it: upper case, no hyphens. Raises BadRequest."""
    return text if text.startswith("@") else udf.compact(text)
