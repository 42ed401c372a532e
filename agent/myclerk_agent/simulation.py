"""A simulated board: what ``run --simulate FILE`` serves instead of this machine's hardware.

The file is TOML with one table for each bus, named as its driver: ``[gpio]``, ``[i2c]``, ``[serial]``. What a table
says is its driver's business (:meth:`myclerk_drivers.base.Driver.simulated`). A bus without a table is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .toml_source import ConfigError, Source, parse_toml


@dataclass(frozen=True, slots=True)
class Simulation:
    """The description of a simulated board: driver name -> its table."""

    tables: Mapping[str, Mapping[str, Any]]
    source: Source


def load(path: Path) -> Simulation:
    """The description in the file at ``path``. Raises ConfigError when it cannot be read or used."""
    try:
        tables, source = parse_toml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise source.error((name,), f"`{name}` must be a table, one for each bus: write [{name}]")
    if not tables:
        raise ConfigError(f"{path}: describes no bus; write a table such as [gpio]")
    return Simulation(tables, source)
