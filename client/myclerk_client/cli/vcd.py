"""Writes Value Change Dump files (IEEE 1364-2005, section 18), which GTKWave and most wave viewers open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TextIO

LEAD_IN = 1000
"""Nanoseconds shown before the first change, so that one sees the levels that it came from."""

_FIRST_CODE, _CODES = ord("!"), 94


class VcdWriter:
    """One recording. ``signals``: key -> name and first value. Times are nanoseconds of any clock.

    Time 0 of the file lies just before the first change; a comment there has the clock's own time.
    """

    def __init__(self, file: TextIO, signals: Mapping[int, tuple[str, bool]]) -> None:
        self._file = file
        self._codes = {key: _code(number) for number, key in enumerate(signals)}
        self._start: int | None = None
        self._last = -1
        file.write("$timescale 1 ns $end\n$scope module gpio $end\n")
        for key, (name, _) in signals.items():
            file.write(f"$var wire 1 {self._codes[key]} {_identifier(name)} $end\n")
        file.write("$upscope $end\n$enddefinitions $end\n#0\n$dumpvars\n")
        for key, (_, value) in signals.items():
            file.write(f"{value:d}{self._codes[key]}\n")
        file.write("$end\n")

    def change(self, timestamp_ns: int, key: int, value: bool) -> None:
        """A signal has this value from now on.

        The kernel may hand edges of different lines over in another order than they happened, by microseconds;
        the format knows no way back, so such an edge gets the time of the one before it.
        """
        if self._start is None:
            self._start = timestamp_ns - LEAD_IN
            self._file.write(f"$comment time 0 is {self._start} ns of the board's clock $end\n")
        moment = max(timestamp_ns - self._start, self._last)
        if moment != self._last:
            self._file.write(f"#{moment}\n")
            self._last = moment
        self._file.write(f"{value:d}{self._codes[key]}\n")


def _code(number: int) -> str:
    """An identifier code: printable characters, ! first."""
    code = chr(_FIRST_CODE + number % _CODES)
    return code if number < _CODES else code + _code(number // _CODES - 1)


def _identifier(name: str) -> str:
    """A name that every viewer takes."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name) or "line"
