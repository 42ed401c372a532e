"""Settings of an open port, applied all or nothing and read back from the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from myclerk_protocol.schema.names import wire_name
from myclerk_protocol.status import BadRequest, OperationError, Unsupported

from . import kernel, lines, rs485, termios_settings
from .faults import fault

MAX_BAUD = 0xFFFFFFFF
OPENING_DEFAULTS: Mapping[str, Any] = {**termios_settings.DEFAULTS, "exclusive": True}
SETTINGS = frozenset({*OPENING_DEFAULTS, "rs485", "dtr", "rts"})

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "data_bits": tuple(termios_settings.DATA_BITS),
    "parity": tuple(termios_settings.PARITY),
    "stop_bits": (1, 2),
    **dict.fromkeys(("rts_cts", "xon_xoff", "exclusive", "hang_up_on_close", "dtr", "rts"), (False, True)),
}


def check(given: Mapping[str, Any]) -> None:
    """Raise BadRequest, its ``key`` naming the setting as on the wire, for one that no port could have."""
    for name, value in given.items():
        key = wire_name(name)
        if name == "baud":
            if not (isinstance(value, int) and 1 <= value <= MAX_BAUD):
                raise BadRequest(f"`baud` must be a whole number from 1 to {MAX_BAUD}", key=key)
        elif name == "rs485":
            _check_rs485(value)
        elif name not in SETTINGS:
            raise BadRequest(f"`{key}` is no setting of a serial port", key=key)
        elif value not in _CHOICES[name]:
            choices = ", ".join(map(str, _CHOICES[name]))
            raise BadRequest(f"`{key}` must be one of: {choices}", key=key)


def _check_rs485(given: Mapping[str, Any]) -> None:
    if "enabled" not in given or set(given) - {"enabled", *rs485.DEFAULTS}:
        fields = ", ".join(map(wire_name, rs485.DEFAULTS))
        raise BadRequest(f"`rs485` must have `enabled` and may have {fields}", key="rs485")
    for name in ("delay_before_send", "delay_after_send"):
        if not 0 <= given.get(name, 0) <= rs485.MAX_DELAY:
            key = f"rs485.{wire_name(name)}"
            raise BadRequest(f"`{key}` must lie between 0 and {rs485.MAX_DELAY:g} seconds", key=key)


def effective(fd: int) -> dict[str, Any]:
    """What the kernel has now; ``rs485`` only where the driver knows it. Raises OSError."""
    settings = termios_settings.decode(termios_settings.read(fd))
    if (raw := rs485.read_raw(fd)) is not None:
        settings["rs485"] = rs485.decode(raw)
    return settings


def configure(fd: int, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Set what is given, leave the rest as it is, and return the effective settings of port ``name``.

    Each setting is read back. One that the kernel did not take raises Unsupported with its ``key`` and what
    the kernel has instead (a pty has 8 data bits and no parity, whatever it is told), a failing ioctl raises
    HardwareError or DeviceGone; whatever is raised, everything is as it was before.
    """
    with ExitStack() as undo:
        try:
            _set_termios(fd, name, given, undo)
            if "rs485" in given:
                _set_rs485(fd, name, given["rs485"], undo)
            if "dtr" in given or "rts" in given:
                _set_lines(fd, name, {k: given[k] for k in ("dtr", "rts") if k in given}, undo)
            if "exclusive" in given:
                _undo(undo, kernel.set_exclusive, fd, kernel.is_exclusive(fd))
                kernel.set_exclusive(fd, given["exclusive"])
            result = effective(fd)
        except OperationError:
            raise
        except OSError as error:
            raise fault(fd, name, "these settings", error) from None
        undo.pop_all()
    return result


def _set_termios(fd: int, name: str, given: Mapping[str, Any], undo: ExitStack) -> None:
    before = termios_settings.read(fd)
    current = termios_settings.decode(before)
    wanted = {key: given.get(key, value) for key, value in current.items()}
    _undo(undo, termios_settings.write, fd, before)
    termios_settings.write(fd, termios_settings.encode(wanted, before))
    actual = termios_settings.decode(termios_settings.read(fd))
    if key := termios_settings.not_taken(wanted, actual):
        raise _refused(name, key, wanted[key], actual[key])


def _set_rs485(fd: int, name: str, wanted: Mapping[str, Any], undo: ExitStack) -> None:
    before = rs485.read_raw(fd)
    if before is None:
        if wanted["enabled"]:
            raise Unsupported(f"the driver of {name} does not support RS-485", key="rs485")
        return
    _undo(undo, rs485.write_raw, fd, before)
    rs485.write_raw(fd, rs485.encode(wanted))
    actual = rs485.decode(rs485.read_raw(fd) or before)
    if key := rs485.not_taken(wanted, actual):
        raise _refused(name, f"rs485.{key}", wanted.get(key, rs485.DEFAULTS.get(key)), actual[key])


def _set_lines(fd: int, name: str, wanted: Mapping[str, bool], undo: ExitStack) -> None:
    before = lines.read_if_there(fd)
    if before is None:
        raise Unsupported(f"{name} has no modem lines", key=next(iter(wanted)))
    _undo(undo, lines.write, fd, before)
    lines.write(fd, lines.changed(before, **wanted))
    actual = lines.decode(lines.read(fd))
    for key, value in wanted.items():
        if actual[key] != value:
            raise _refused(name, key, value, actual[key])


def _undo(undo: ExitStack, setter: Callable[[int, Any], None], fd: int, value: Any) -> None:
    def restore() -> None:
        with suppress(OSError):  # the error that made us go back is the one to report
            setter(fd, value)

    undo.callback(restore)


def _refused(port: str, setting: str, wanted: object, actual: object) -> Unsupported:
    key = wire_name(setting)
    return Unsupported(f"{port} did not take {key} {wanted}: the kernel has {actual} instead", key=key)
