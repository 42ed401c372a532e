"""Buses: GPIO, I2C, SPI, CAN and 1-Wire on the virtual board, beside the libraries by themselves and other programs.

Everything is measured inside the board, over its loopback interface, by :mod:`bench.guest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import virtual
from .guest.can import CAN_REMOTE
from .guest.contest import ON_BOARD, SUBJECT
from .guest.edges import DELIVERED
from .guest.onewire import OWSERVER
from .guest.quick import (
    ECHO,
    IN_FLIGHT,
    MSGPACK_ECHO,
    RGPIOD,
    SSH_ECHO,
    SSH_RGPIOD,
    in_batches,
    in_flight,
)
from .guest.wire import BYTES
from .measure import MEDIAN, PER_SECOND, Series, ratio
from .report import Section
from .settings import Settings


def measure(settings: Settings) -> Section:
    """Every bus: rates, latencies, loss and bytes, and what they are beside the peers."""
    section = Section("buses")
    found = virtual.measured("bench.guest", settings)
    section.missing += found["missing"]
    for where, cases in found["series"].items():
        for case, series in cases.items():
            section.add(case, where, series)
            _compare(section, where, case, series)
        _judge(section, where, cases)
    return section


# -- what it means -----------------------------------------------------------------------------------------

SINGLE_PEERS = (ON_BOARD, RGPIOD, SSH_RGPIOD, ECHO, SSH_ECHO, MSGPACK_ECHO, CAN_REMOTE, OWSERVER)
PLAINTEXT = (RGPIOD, ECHO, MSGPACK_ECHO)
"""Peers without encryption, one request at a time: more than that the clients of rgpiod and the like cannot do."""

SEVERAL = [*(in_flight(SUBJECT, number) for number in IN_FLIGHT), in_batches(SUBJECT)]
SETTING, EDGES = "GPIO set", "GPIO edges, 5,000/s"


def _pairs(series: Series) -> Iterable[tuple[str, str]]:
    """Which contestants are compared."""
    pairs = [(SUBJECT, peer) for peer in SINGLE_PEERS]
    pairs += [(several, peer) for several in SEVERAL for peer in (ON_BOARD, *PLAINTEXT)]
    pairs += [(in_flight(SUBJECT, number), in_flight(MSGPACK_ECHO, number)) for number in IN_FLIGHT]
    return [(of, to) for of, to in pairs if of in series and to in series]


def _compare(section: Section, placement: str, case: str, series: Series) -> None:
    measured = next(iter(series.values()))[0]
    kinds = (DELIVERED, MEDIAN) if DELIVERED in measured else (PER_SECOND, BYTES)
    for metric in (kind for kind in kinds if kind in measured):
        for of, to in _pairs(series):
            section.compare(case, placement, series, metric, of, to)


def _judge(section: Section, placement: str, cases: Mapping[str, Series]) -> None:
    """The targets; what could not be measured is said to be so."""
    setting = cases.get(SETTING, {})
    share = _least(setting, [SUBJECT], [SSH_ECHO])
    section.judge(f"{SETTING}: twice the rate of the {SSH_ECHO}", placement, share, lambda value: value >= 2)
    quick = {case: series for case, series in cases.items() if _is_quick(series)}
    for case, series in (quick or {SETTING: {}}).items():
        plain = RGPIOD if RGPIOD in series else ECHO
        if plain in series or not series:
            share = _least(series, [SUBJECT], [plain])
            promise = f"{case}: within 3 times of the {plain} (the rate at least a third)"
            section.judge(promise, placement, share, lambda value: value >= 1 / 3)
            share = _least(series, SEVERAL, PLAINTEXT)
            promise = f"{case}: pipelined and batched above every plaintext peer"
            section.judge(promise, placement, share, lambda value: value > 1)
    edges = cases.get(EDGES, {}).get(SUBJECT)
    worst = min(metrics[DELIVERED] for metrics in edges) if edges else None
    section.judge(f"{EDGES}: none lost (percent that arrive)", placement, worst, lambda value: value >= 100)


def _is_quick(series: Series) -> bool:
    """Whether this is a case of operations that were also batched, and their rates."""
    return in_batches(SUBJECT) in series and PER_SECOND in series[SUBJECT][0]


def _least(series: Series, of: Iterable[str], to: Iterable[str]) -> float | None:
    """The least of the ratios of rates, each the median of its rounds; None when there are none."""
    pairs = [(a, b) for a in of for b in to if a in series and b in series]
    return min((ratio(series, a, b, PER_SECOND).median for a, b in pairs), default=None)
