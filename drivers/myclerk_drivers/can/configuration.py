"""Settings of an interface: checked against what it is, applied all or nothing, read back from the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from myclerk_protocol.schema.names import wire_name
from myclerk_protocol.status import BadRequest, Unsupported

from .backend import CAN_MTU, CANFD_MTU, MODES, BitTiming, CanBackend, Configuration, InterfaceState
from .faults import configuring_fault

VIRTUAL_SETTINGS = frozenset({"fd", "up"})
DATA_SETTINGS = ("data_bitrate", "data_sample_point")


def settings(state: InterfaceState) -> dict[str, Any]:
    """The settings in force, by the names that :func:`configure` takes; those of a controller only if it has one."""
    configuration = state.configuration
    found: dict[str, Any] = {"up": state.up, "fd": configuration.has("fd")}
    if not state.has_controller:
        return found
    found.update({mode: configuration.has(mode) for mode in MODES}, restart_ms=configuration.restart_ms)
    for prefix, timing in (("", configuration.timing), ("data_", configuration.data_timing)):
        if timing is not None:
            found[f"{prefix}bitrate"] = timing.bitrate
            found[f"{prefix}sample_point"] = timing.sample_point / 1000 or None
    return found


def condition(state: InterfaceState) -> dict[str, Any]:
    """What an interface does and counts, beside its settings."""
    return {
        "state": state.state,
        "tx_errors": state.tx_errors,
        "rx_errors": state.rx_errors,
        "bit_timing": _segments(state.configuration.timing),
        "data_bit_timing": _segments(state.configuration.data_timing),
        "clock": state.clock,
        "mtu": state.mtu,
        "tx_queue_length": state.tx_queue_length,
        "statistics": dict(state.statistics),
    }


def supported_modes(state: InterfaceState) -> list[str] | None:
    """Which of :data:`.backend.MODES` a controller has; None where the kernel does not say (before 5.18)."""
    if state.supported_modes is None:
        return None
    return [wire_name(mode) for mode, bit in MODES.items() if bit & _possible(state)]


def is_in_force(state: InterfaceState, given: Mapping[str, Any]) -> bool:
    """Whether nothing has to change for the settings ``given``."""
    current = settings(state)
    return all(current.get(name) == value for name, value in given.items())


def wanted(state: InterfaceState, given: Mapping[str, Any]) -> Configuration:
    """What ``given`` makes of the configuration in force.

    Raises BadRequest or Unsupported, its ``key`` naming the setting as on the wire.
    """
    name, current = state.name, state.configuration
    if not state.has_controller:
        for setting in given:
            if setting not in VIRTUAL_SETTINGS:
                raise Unsupported(
                    f"{name} is virtual: it has no controller and no bit timing, only fd and up can be set",
                    key=wire_name(setting),
                )
    modes = current.modes
    for mode, bit in MODES.items():
        if given.get(mode) and state.has_controller and not bit & _possible(state):
            raise Unsupported(f"the controller of {name} has no {wire_name(mode)}", key=wire_name(mode))
        if mode in given:
            modes = modes | bit if given[mode] else modes & ~bit
    result = Configuration(
        _timing(name, given, "", current.timing),
        _timing(name, given, "data_", current.data_timing),
        modes,
        given.get("restart_ms", current.restart_ms),
    )
    _check_timing(state, given, result)
    return result if result.has("fd") else replace(result, data_timing=None)


def configure(backend: CanBackend, state: InterfaceState, wanted: Configuration, up: bool) -> InterfaceState:
    """Make ``state`` into ``wanted``; the state then. Blocks for as long as the hardware takes.

    Raises Unsupported, Conflict, HardwareError or DeviceGone, and then everything is as it was before.
    """
    try:
        _apply(backend, state, wanted, up)
        return backend.interface(state.name)
    except OSError as error:
        failure = configuring_fault(state.name, error)
    try:
        put_back(backend, state)
    except OSError as error:
        message = f"{failure.message}; its earlier settings could not be put back ({error.strerror})"
        raise type(failure)(message, **failure.details) from None
    raise failure


def put_back(backend: CanBackend, earlier: InterfaceState) -> None:
    """Make an interface what it was earlier; a bit rate that it did not have yet stays. Raises OSError."""
    now = backend.interface(earlier.name)
    configuration = earlier.configuration
    if configuration.timing is None:
        configuration = replace(configuration, timing=now.configuration.timing)
    _apply(backend, now, configuration, earlier.up)


def _apply(backend: CanBackend, state: InterfaceState, wanted: Configuration, up: bool) -> None:
    name, changes = state.name, wanted != state.configuration
    if state.up and (changes or not up):
        backend.set_up(name, False)
    if changes and state.has_controller:
        backend.configure(name, state.configuration, wanted)
    elif changes:
        backend.set_mtu(name, CANFD_MTU if wanted.has("fd") else CAN_MTU)
    if up and (changes or not state.up):
        backend.set_up(name, True)


def _timing(name: str, given: Mapping[str, Any], prefix: str, current: BitTiming | None) -> BitTiming | None:
    bitrate, sample_point = given.get(f"{prefix}bitrate"), given.get(f"{prefix}sample_point")
    if bitrate is None and sample_point is None:
        return current
    if sample_point is not None and not 0.001 <= sample_point <= 0.999:
        key = wire_name(f"{prefix}sample_point")
        raise BadRequest(f"`{key}` must lie between 0.001 and 0.999", key=key)
    if bitrate is None:
        if current is None:
            key = wire_name(f"{prefix}bitrate")
            raise BadRequest(
                f"{name} has no `{key}` yet that the sample point could be of; give both", key=key
            )
        bitrate = current.bitrate
    return BitTiming(bitrate, round((sample_point or 0) * 1000))


def _check_timing(state: InterfaceState, given: Mapping[str, Any], result: Configuration) -> None:
    if not state.has_controller:
        return
    if result.has("fd") and result.data_timing is None:
        raise BadRequest(f"CAN FD needs a `data-bitrate`; {state.name} has none yet", key="data-bitrate")
    if not result.has("fd"):
        for name in DATA_SETTINGS:
            if name in given:
                raise BadRequest(f"`{wire_name(name)}` is for CAN FD; set `fd`, too", key=wire_name(name))
    if result.timing is None and (given.get("up", state.up) or result.has("fd")):
        raise BadRequest(f"{state.name} has no bit rate yet; give a `bitrate`", key="bitrate")


def _possible(state: InterfaceState) -> int:
    """Bits of the modes that a controller can have, or has for good."""
    known = state.supported_modes
    return state.configuration.modes | (known if known is not None else sum(MODES.values()))


def _segments(timing: BitTiming | None) -> dict[str, int] | None:
    if timing is None or not timing.tq:
        return None
    names = ("tq", "prop_seg", "phase_seg1", "phase_seg2", "sjw", "brp")
    return {name: getattr(timing, name) for name in names}
