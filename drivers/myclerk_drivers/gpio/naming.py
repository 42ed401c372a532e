"""Names of chips, lines and PWM channels: which resource they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import unquote

from myclerk_protocol.status import BadRequest, NotFound

from ..base import Resource, resource_part
from .backend import Chip, PwmChip

KIND = "gpio"


class Names:
    """The chips that a board has now, and how requests may call them and their lines."""

    def __init__(self, chips: Sequence[Chip], pwm_chips: Sequence[PwmChip]) -> None:
        self.chips = chips
        self.pwm_chips = pwm_chips
        self._labels = Counter(chip.label for chip in chips)

    def resources(self) -> list[Resource]:
        """The chips and the PWM channels; lines are not listed, but found by name."""
        channels = [self.channel(chip, number) for chip in self.pwm_chips for number in range(chip.channels)]
        return [*map(self.chip, self.chips), *map(self.pwm_chip, self.pwm_chips), *channels]

    def find(self, name: str) -> Resource | None:
        """The chip, line, PWM chip or channel of that name, or None. Raises BadRequest for an ambiguous one."""
        kind, _, rest = name.partition(":")
        first, *more = (unquote(part) for part in rest.split("/"))
        if kind != KIND or len(more) > 1:
            return None
        chip = self._named(first)
        if isinstance(chip, PwmChip):
            if not more:
                return self.pwm_chip(chip)
            number = int(more[0]) if more[0].isdecimal() else -1
            return self.channel(chip, number) if 0 <= number < chip.channels else None
        if chip is not None:
            if not more:
                return self.chip(chip)
            line = int(more[0]) if more[0].isdecimal() else more[0]
            try:
                return self.line(chip, self.offset(chip, line))
            except NotFound:
                return None
        return None if more else self._line_anywhere(first)

    def _named(self, name: str) -> Chip | PwmChip | None:
        for chip in self.chips:
            if name == chip.name or name in chip.aliases:
                return chip
        for pwm_chip in self.pwm_chips:
            if name == pwm_chip.name:
                return pwm_chip
        return next((chip for chip in self.chips if chip.label == name and self._labels[name] == 1), None)

    def _line_anywhere(self, name: str) -> Resource | None:
        places = [
            (chip, offset)
            for chip in self.chips
            for offset, line in enumerate(chip.line_names)
            if line == name and line
        ]
        if len(places) > 1:
            known = ", ".join(f"{chip.name}/{offset}" for chip, offset in places)
            raise BadRequest(f"several lines are called {name}: {known}; say which one", key="resource")
        return self.line(*places[0]) if places else None

    def offset(self, chip: Chip, line: int | str, key: str = "lines") -> int:
        """The offset of a line of ``chip``, given that or its name. Raises NotFound, BadRequest."""
        if isinstance(line, int):
            if line < len(chip.line_names):
                return line
            raise NotFound(
                f"{chip.name} has no line {line}; it has {len(chip.line_names)}, counted from 0", key=key
            )
        found = [offset for offset, name in enumerate(chip.line_names) if name == line]
        if not line or not found:
            raise NotFound(f"{chip.name} has no line called {line!r}", key=key)
        if len(found) > 1:
            raise BadRequest(
                f"lines {', '.join(map(str, found))} of {chip.name} are all called {line}; use an offset",
                key=key,
            )
        return found[0]

    def chip_of(self, resource: Resource) -> Chip:
        """The chip that a resource is or belongs to. Raises BadRequest for one of PWM, which has no lines."""
        name = resource.parent if "offset" in resource.properties else resource.name
        chip = next((chip for chip in self.chips if f"{KIND}:{resource_part(chip.name)}" == name), None)
        if chip is None:
            raise BadRequest(f"{resource.name} is no GPIO chip or line", key="resource")
        return chip

    def parts(self, resource: Resource) -> list[Resource]:
        """The lines of a chip, the channels of a PWM chip, none of anything else."""
        for chip in self.chips:
            if resource.name == _name(chip.name):
                return [self.line(chip, offset) for offset in range(len(chip.line_names))]
        for pwm_chip in self.pwm_chips:
            if resource.name == _name(pwm_chip.name):
                return [self.channel(pwm_chip, number) for number in range(pwm_chip.channels)]
        return []

    # -- resources -----------------------------------------------------------------------------------------

    def chip(self, chip: Chip) -> Resource:
        """``gpio:gpiochip0``, also under the names of links to it and, if no other chip has it, its label."""
        names = (*chip.aliases, *([chip.label] if chip.label and self._labels[chip.label] == 1 else []))
        properties = {"label": chip.label, "path": chip.path, "line_names": list(chip.line_names)}
        return Resource(
            _name(chip.name),
            f"{chip.label}, {len(chip.line_names)} GPIO lines",
            _aliases(names, chip.name),
            chip.parent,
            properties,
        )

    def line(self, chip: Chip, offset: int) -> Resource:
        """``gpio:gpiochip0/17``, also ``gpio:gpiochip0/LED`` and, if no other line has the name, ``gpio:LED``."""
        name = chip.line_names[offset]
        aliases = []
        if name and chip.line_names.count(name) == 1 and not name.isdecimal():
            aliases.append(_name(chip.name, name))
            if sum(other.line_names.count(name) for other in self.chips) == 1 and self._named(name) is None:
                aliases.append(_name(name))
        return Resource(
            _name(chip.name, str(offset)),
            f"{name or f'line {offset}'} of {chip.label}",
            tuple(aliases),
            _name(chip.name),
            {"offset": offset, "line_name": name or None},
        )

    def pwm_chip(self, chip: PwmChip) -> Resource:
        """``gpio:pwmchip0``."""
        properties = {"label": chip.label, "channels": chip.channels}
        return Resource(
            _name(chip.name), f"{chip.label}, {chip.channels} PWM channels", properties=properties
        )

    def channel(self, chip: PwmChip, number: int) -> Resource:
        """``gpio:pwmchip0/1``."""
        return Resource(
            _name(chip.name, str(number)),
            f"PWM channel {number} of {chip.label}",
            parent=_name(chip.name),
            properties={"channel": number},
        )


def _name(*parts: str) -> str:
    return f"{KIND}:{'/'.join(map(resource_part, parts))}"


def _aliases(names: Iterable[str], own: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_name(name) for name in names if name != own))
