"""Lines that stay requested after their release, because they are to keep their level."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from .backend import GpioBackend, LineRequest, LineSettings

CONSUMER = "myclerk (kept)"


@dataclass(slots=True)
class _Kept:
    chip: str
    settings: dict[int, LineSettings]
    request: LineRequest


def _as_found(wanted: LineSettings, kept: LineSettings | None) -> LineSettings:
    """What "as-is" means for a line that was kept and let go in between: its level again."""
    if kept is None or wanted.direction != "as-is":
        return wanted
    level = kept.value is not kept.active_low
    return replace(kept, value=level is not wanted.active_low, active_low=wanted.active_low)


class Keeper:
    """Requests lines, and keeps those that are to hold a level when nobody has them any more.

    What drivers of the kernel do with a line that is released differs: some leave it, some make it an input.
    So these lines stay requested until somebody requests them again, or the agent ends. Thread-safe.
    """

    def __init__(self, backend: GpioBackend) -> None:
        self._backend = backend
        self._kept: list[_Kept] = []
        self._lock = threading.Lock()

    def lines(self, chip: str) -> set[int]:
        """The offsets that are kept."""
        with self._lock:
            return {offset for kept in self._kept if kept.chip == chip for offset in kept.settings}

    def request(self, chip: str, settings: Mapping[int, LineSettings], consumer: str) -> LineRequest:
        """Request lines. Kept ones are handed over, without a glitch if just these were released together.

        Otherwise all that were kept together are let go for a moment, some microseconds.
        Raises OSError; everything is kept as before then.
        """
        with self._lock:
            touched = [kept for kept in self._kept if kept.chip == chip and kept.settings.keys() & settings]
            if len(touched) == 1 and touched[0].settings.keys() == settings.keys():
                return self._hand_over(touched[0], settings)
            found: dict[int, LineSettings] = {}
            for kept in touched:
                self._kept.remove(kept)
                kept.request.release()
                found |= kept.settings
            asked = {offset: _as_found(line, found.get(offset)) for offset, line in settings.items()}
            try:
                request = self._backend.request(chip, asked, consumer)
            except OSError:
                for kept in touched:
                    self._keep(chip, kept.settings)
                raise
            for kept in touched:
                self._keep(chip, {o: line for o, line in kept.settings.items() if o not in settings})
            return request

    def _hand_over(self, kept: _Kept, settings: Mapping[int, LineSettings]) -> LineRequest:
        try:
            kept.request.configure(settings)
        except OSError:
            with suppress(OSError):
                kept.request.configure(kept.settings)
            raise
        self._kept.remove(kept)
        return kept.request

    def release(
        self, chip: str, request: LineRequest, left_as: Mapping[int, LineSettings], keep: set[int]
    ) -> None:
        """Give lines back, all with the settings of ``left_as``, those of ``keep`` only to this keeper.

        Raises OSError; the lines are released then.
        """
        with self._lock:
            try:
                request.configure(left_as)
            except OSError:
                request.release()
                raise
            if keep == left_as.keys():
                self._kept.append(_Kept(chip, dict(left_as), request))
                return
            request.release()
            self._keep(chip, {offset: left_as[offset] for offset in keep})

    def _keep(self, chip: str, settings: Mapping[int, LineSettings]) -> None:
        if settings:
            with suppress(OSError):  # gone, or another program was faster
                request = self._backend.request(chip, settings, CONSUMER)
                self._kept.append(_Kept(chip, dict(settings), request))

    def close(self) -> None:
        """Let go of all lines."""
        with self._lock:
            for kept in self._kept:
                kept.request.release()
            self._kept.clear()
