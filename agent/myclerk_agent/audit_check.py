"""Reading the audit log: whether its chain holds, and its last records."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .audit_chain import NAME, START, Link, files, hash_of, number_of, read_head, shared

PROBLEMS_LIMIT = 20


@dataclass
class Report:
    """What :func:`verify` found. The chain holds if ``problems``, sentences for people, is empty.

    ``first`` is the number of the oldest record that is left; both it and ``last`` are 0 in an empty log.
    """

    first: int = 0
    last: Link = START
    records: int = 0
    problems: list[str] = field(default_factory=list)

    def complain(self, problem: str) -> None:
        """Note a problem, unless there are many already."""
        if len(self.problems) < PROBLEMS_LIMIT:
            self.problems.append(problem)


def verify(directory: Path, anchor: Link | None = None) -> Report:
    """Check every record that is kept. ``anchor`` is a record noted elsewhere earlier: it must be there still.

    Waits for a writer that is busy. Raises OSError when a file cannot be read.
    """
    report = Report()
    with shared(directory):
        head = read_head(directory)
        ends = (None if head is None else head.last, anchor)
        anchors = {link.number: link.hash for link in ends if link is not None}
        for path in files(directory):
            _check_file(path, report, anchors)
    if head is None and report.records:
        report.complain("audit.head is missing: whether records are missing at the ends cannot be told")
    if head is not None:
        if report.records and report.first > head.first:
            report.complain(f"{_count(head.first, report.first - 1)} missing at the beginning")
        _check_end(report, head.last, "audit.head")
    if anchor is not None:
        _check_end(report, anchor, "the anchor")
        if anchor.number < report.first:
            report.complain(f"record {anchor.number} of the anchor is not kept any more")
    return report


def _check_file(path: Path, report: Report, anchors: dict[int, str]) -> None:
    with path.open("rb") as file:
        for position, line in enumerate(file, 1):
            where = f"{path.name} line {position}"
            if not line.endswith(b"\n"):
                report.complain(f"{where} is incomplete: a crash cut it off, or somebody did")
                return
            _check_record(line[:-1], where, report, anchors)


def _check_record(line: bytes, where: str, report: Report, anchors: dict[int, str]) -> None:
    number, last = number_of(line), report.last
    if number is None:
        report.complain(f"{where} is no record: it was changed")
        number = last.number + 1
    elif not report.records:
        report.first = number
        if number == 1 and _previous(line) != START.hash:
            report.complain(f"{where}: record 1 was changed")
    elif number > last.number + 1:
        report.complain(f"{where}: {_count(last.number + 1, number - 1)} missing before record {number}")
    elif number < last.number + 1:
        report.complain(f"{where}: record {number} stands behind record {last.number}")
    elif _previous(line) != last.hash:
        report.complain(f"{where}: record {last.number} was changed, or record {number}")
    link = Link(number, hash_of(line))
    if anchors.get(number, link.hash) != link.hash:
        report.complain(f"{where}: record {number} is not the one that was written")
    report.records += 1
    report.last = link


def _check_end(report: Report, end: Link, source: str) -> None:
    if end.number > report.last.number:
        missing = _count(report.last.number + 1, end.number)
        report.complain(f"{missing} missing at the end, says {source}")


def _count(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def _previous(line: bytes) -> Any:
    return json.loads(line).get("previous")


def tail(directory: Path, count: int) -> list[dict[str, Any]]:
    """The last ``count`` records, the oldest first; lines that are none are left out."""
    with shared(directory):
        last: deque[dict[str, Any]] = deque(maxlen=count)
        for path in files(directory):
            with path.open("rb") as file:
                last.extend(entry for entry in map(_entry, file) if entry is not None)
    return list(last)


def follow(directory: Path, interval: float = 0.5) -> Iterator[dict[str, Any]]:
    """Records as they are written from now on, for ever; looks each ``interval`` seconds."""
    path = directory / NAME
    seen = tail(directory, 1)
    number = seen[0]["number"] if seen else 0
    while True:
        for entry in _newer(directory, path, number):
            number = entry["number"]
            yield entry
        time.sleep(interval)


def _newer(directory: Path, path: Path, number: int) -> list[dict[str, Any]]:
    """The records behind ``number``, also those of a file that was rotated away meanwhile."""
    with shared(directory):
        found: list[dict[str, Any]] = []
        for candidate in reversed(files(directory)):
            with candidate.open("rb") as file:
                entries = [entry for entry in map(_entry, file) if entry is not None]
            found = [entry for entry in entries if entry["number"] > number] + found
            if entries and entries[0]["number"] <= number + 1:
                break
    return found


def _entry(line: bytes) -> dict[str, Any] | None:
    """A record as its fields; None for a line that is none."""
    if number_of(line) is None:
        return None
    entry: dict[str, Any] = json.loads(line)
    return entry


def describe(entry: dict[str, Any]) -> str:
    """A record on one line, for people."""
    fields = dict(entry)
    moment = time.strftime("%F %T", time.localtime(fields.pop("time", 0)))
    number, outcome = fields.pop("number"), fields.pop("outcome", "")
    what = " ".join(filter(None, (fields.pop("action", ""), fields.pop("resource", ""))))
    actor = fields.pop("actor", "")
    fields.pop("previous", None)
    rest = "".join(f"  {name}={value}" for name, value in fields.items())
    return f"{number}  {moment}  {actor}  {what}: {outcome}{rest}"
