"""What was measured, as data, as JSON and as tables for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .measure import Metrics, Series, Spread, ratio

LIBRARIES = ("myclerk", "cryptography", "msgpack", "uvloop")


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant in one case; ``metrics`` by name with unit."""

    case: str
    placement: str
    contestant: str
    metrics: dict[str, Spread]


@dataclass(frozen=True, slots=True)
class Ratio:
    """``metric`` of contestant ``of`` divided by that of ``to``, by rounds."""

    case: str
    placement: str
    metric: str
    of: str
    to: str
    spread: Spread


@dataclass(frozen=True, slots=True)
class Target:
    """A promise with the number that was measured; ``met`` and ``value`` are None when nothing was."""

    promise: str
    placement: str
    value: float | None
    met: bool | None


@dataclass(slots=True)
class Section:
    """One kind of measurement: everything it gave. ``missing`` says what could not be measured, and why."""

    name: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, case: str, placement: str, series: Series) -> None:
        """A row for each contestant of a series."""
        for contestant, rounds in series.items():
            self.rows.append(Row(case, placement, contestant, over_rounds(rounds)))

    def compare(self, case: str, placement: str, series: Series, metric: str, of: str, to: str) -> float:
        """A ratio between two contestants of a series; its median."""
        spread = ratio(series, of, to, metric)
        self.ratios.append(Ratio(case, placement, metric, of, to, spread))
        return spread.median

    def judge(self, promise: str, placement: str, value: float | None, kept: Callable[[float], bool]) -> None:
        """A target, kept or not by the value measured (None: it was not)."""
        self.targets.append(Target(promise, placement, value, None if value is None else kept(value)))


def over_rounds(rounds: Sequence[Metrics]) -> dict[str, Spread]:
    """The spread of each metric."""
    return {name: Spread.of([metrics[name] for metrics in rounds]) for name in rounds[0]}


def write_json(path: Path, sections: Sequence[Section], *, quick: bool) -> None:
    """Everything as one JSON object: ``machine``, ``quick``, ``sections``."""
    machine: dict[str, object] = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }
    document = {"machine": machine, "quick": quick, "sections": [asdict(section) for section in sections]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def render(section: Section) -> str:
    """A section as text: its table, its ratios, its targets, what is missing."""
    lines = [f"== {section.name} =="]
    lines += _table(section.rows)
    if section.ratios:
        lines += ["", "ratios (median of the rounds, lowest to highest):"]
        lines += [_ratio_line(r) for r in section.ratios]
    if section.targets:
        lines += ["", "targets:"]
        lines += [_target_line(target) for target in section.targets]
    lines += [f"\n!!! MISSING: {sentence}" for sentence in section.missing]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    cells = [["case", "cores", "what", *names]]
    for row in rows:
        numbers = [_number(row.metrics[name].median) if name in row.metrics else "" for name in names]
        cells.append([row.case, row.placement, row.contestant, *numbers])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _ratio_line(r: Ratio) -> str:
    spread = r.spread
    return (
        f"  {r.case}, {r.placement}, {r.metric}: {r.of} / {r.to} = "
        f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g}, {spread.rounds} rounds)"
    )


def _target_line(target: Target) -> str:
    verdict = {True: "met", False: "NOT MET", None: "not measured"}[target.met]
    number = "" if target.value is None else f": {_number(target.value)}"
    return f"  [{verdict}] {target.promise} ({target.placement}){number}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
