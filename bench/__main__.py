"""``python -m bench``: measure, print tables, write JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from . import buses, handshakes, memory, requests, serial, usb
from .machine import placements
from .report import Section, render, write_json
from .settings import Settings

SECTIONS: dict[str, Callable[[Settings], Section]] = {
    "requests": requests.measure,
    "serial": serial.measure,
    "handshakes": handshakes.measure,
    "memory": memory.measure,
    "buses": buses.measure,
    "usb": usb.measure,
}
RESULTS = Path(__file__).with_name("results.json")


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--quick", is_flag=True, help="Only show that everything runs; the numbers mean nothing.")
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, help="Rounds to take turns in."
)
@click.option(
    "--cores",
    type=click.Choice(["two", "one", "both"]),
    default="two",
    show_default=True,
    help="Board and desktop on a core each, on the same core, or both of these in turn.",
)
@click.option("--json", "path", type=click.Path(path_type=Path), default=RESULTS, help="Where results go.")
def main(sections: tuple[str, ...], quick: bool, rounds: int, cores: str, path: Path) -> None:
    """Measure SECTIONS (all without any) and print how they compare with their peers.

    Example: python -m bench requests --cores both
    """
    settings = Settings(placements(cores), 1 if quick else rounds, quick)
    done = []
    for name in sections or SECTIONS:
        section = SECTIONS[name](settings)
        done.append(section)
        click.echo(render(section))
    write_json(path, done, quick=quick)


if __name__ == "__main__":
    main()
