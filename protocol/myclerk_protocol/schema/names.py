"""Wire names have hyphens, Python names have underscores; otherwise they are the same words."""

from __future__ import annotations

from typing import Any


def python_name(wire: str) -> str:
    """``stop_bits`` for ``stop-bits``."""
    return wire.replace("-", "_")


def wire_name(python: str) -> str:
    """``stop-bits`` for ``stop_bits``."""
    return python.replace("_", "-")


def to_python_names(value: Any) -> Any:
    """``value`` with ``-`` as ``_`` in the keys of all maps in it."""
    if type(value) is dict:
        return {python_name(key): to_python_names(item) for key, item in value.items()}
    return [to_python_names(item) for item in value] if type(value) is list else value


def to_wire_names(value: Any) -> Any:
    """``value`` with ``_`` as ``-`` in the keys of all maps in it, and without what is None in them."""
    if isinstance(value, dict):
        return {wire_name(key): to_wire_names(item) for key, item in value.items() if item is not None}
    return [to_wire_names(item) for item in value] if isinstance(value, list | tuple) else value
