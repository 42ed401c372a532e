"""Shapes that are made of other shapes: arrays and choices. Maps are in :mod:`.maps`."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ..status import TooLarge
from .names import to_wire_names
from .shapes import Check, Mismatch, Rename, Shape, describe, of_length, one_of, unexpected


@dataclass(frozen=True, slots=True)
class ArrayOf(Shape):
    """An array of ``low`` to ``high`` items (None: any number), all of one shape."""

    item: Shape
    low: int = 0
    high: int | None = None

    @property
    def kinds(self) -> tuple[type, ...]:
        return (list,)

    @property
    def expected(self) -> str:
        return "an array" + of_length(self.low, self.high, "item")

    def checker(self) -> Check:
        low, expected, check_item = self.low, self.expected, self.item.checker()
        limit = inf if self.high is None else self.high

        def check(value: Any) -> Any:
            if type(value) is not list:
                raise unexpected(expected, describe(value))
            if not low <= len(value) <= limit:
                raise unexpected(expected, f"an array of {len(value)}")
            checked: list[Any] = []
            try:
                for item in value:
                    checked.append(check_item(item))
            except Mismatch as mismatch:
                mismatch.path.insert(0, len(checked))
                raise
            return checked

        return check

    def renamer(self) -> Rename | None:
        rename = self.item.renamer()
        return None if rename is None else lambda items: [rename(item) for item in items]


@dataclass(frozen=True, slots=True)
class Fixed(Shape):
    """An array with a shape for each of its items."""

    items: tuple[Shape, ...]

    @property
    def kinds(self) -> tuple[type, ...]:
        return (list,)

    @property
    def expected(self) -> str:
        return "an array" + of_length(len(self.items), len(self.items), "item")

    def checker(self) -> Check:
        expected, checks = self.expected, [item.checker() for item in self.items]

        def check(value: Any) -> Any:
            if type(value) is not list:
                raise unexpected(expected, describe(value))
            if len(value) != len(checks):
                raise unexpected(expected, f"an array of {len(value)}")
            checked: list[Any] = []
            try:
                for check_item, item in zip(checks, value, strict=True):
                    checked.append(check_item(item))
            except Mismatch as mismatch:
                mismatch.path.insert(0, len(checked))
                raise
            return checked

        return check

    def renamer(self) -> Rename | None:
        return to_wire_names if any(item.renamer() for item in self.items) else None


@dataclass(frozen=True, slots=True)
class Either(Shape):
    """A value of one of several shapes; the first one that fits."""

    options: tuple[Shape, ...]

    @property
    def kinds(self) -> tuple[type, ...]:
        return tuple({kind for option in self.options for kind in option.kinds})

    @property
    def expected(self) -> str:
        return one_of([option.expected for option in self.options])

    def checker(self) -> Check:
        expected = self.expected
        made = [(option.kinds, option.checker()) for option in self.options]
        by_kind = {kind: [check for kinds, check in made if kind in kinds] for kind in self.kinds}

        def check(value: Any) -> Any:
            telling: Mismatch | None = None
            for option in by_kind.get(type(value), ()):
                try:
                    return option(value)
                except Mismatch as mismatch:
                    if mismatch.path or mismatch.error is TooLarge:
                        telling = mismatch
            raise telling or unexpected(expected, describe(value))

        return check

    def renamer(self) -> Rename | None:
        return to_wire_names if any(option.renamer() for option in self.options) else None
