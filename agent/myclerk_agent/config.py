"""The agent's settings: TOML in, frozen dataclasses out. ``agent.toml.example`` documents every key.

A key of the file is a field's name with ``-`` for ``_``. Whatever cannot be used raises ConfigError, whose
message names file and line. Two things can be judged only when the drivers are loaded, as these may bring
operations and settings along: :func:`check_minimum_tiers` and :func:`check_driver_settings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from myclerk_protocol.status import LocalError

from . import config_checks as checks
from .config_checks import Address, Unfit
from .simulation import Simulation
from .toml_source import ConfigError, Source, parse_toml

if TYPE_CHECKING:
    from myclerk_protocol.operations import Registry

__all__ = [
    "Address",
    "Compression",
    "Config",
    "ConfigError",
    "Drivers",
    "Log",
    "Security",
    "Server",
    "Sharing",
    "Source",
    "State",
    "check_driver_settings",
    "check_minimum_tiers",
    "load",
    "parse",
]

T = TypeVar("T")
Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class Server:
    """``[server]``: where the agent listens and how much it takes on."""

    listen: Annotated[tuple[Address, ...], checks.many(checks.address)] = (
        Address("0.0.0.0", 5657),  # noqa: S104 (the agent's purpose is to be reached)
        Address("::", 5657),
    )
    announce: Annotated[bool, checks.boolean] = True
    unix_socket: Annotated[Path | None, checks.optional_path] = Path("/run/myclerk/agent.sock")
    unix_users: Annotated[tuple[int, ...], checks.many(checks.user)] = ()
    connections: Annotated[int, checks.whole(1, 65536)] = 64
    connections_per_address: Annotated[int, checks.whole(1, 65536)] = 8
    handshakes_per_second: Annotated[int, checks.whole(1, 65536)] = 10
    sessions_per_device: Annotated[int, checks.whole(1, 65536)] = 8
    requests_in_flight: Annotated[int, checks.whole(1, 2048)] = 2048
    message_limit: Annotated[int, checks.whole(32 << 10, 64 << 20)] = 1 << 20
    linger: Annotated[float, checks.seconds(0, 3600)] = 30.0
    shutdown_timeout: Annotated[float, checks.seconds(0, 300)] = 10.0


@dataclass(frozen=True, slots=True)
class Security:
    """``[security]``: what peers must bring. ``minimum_tiers``: operation name -> tier, 1 to 5."""

    require_pq: Annotated[bool, checks.boolean] = True
    max_tier: Annotated[int, checks.whole(4, 5)] = 5
    aes: Annotated[str, checks.one_of("auto", "never")] = "auto"
    post_quantum_signatures: Annotated[bool, checks.boolean] = True
    ticket_lifetime: Annotated[int, checks.whole(60, 86400)] = 86400
    allow_requests_without_pin: Annotated[bool, checks.boolean] = False
    minimum_tiers: Annotated[Mapping[str, int], checks.tiers] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sharing:
    """``[access]``: what is shared, by names of resources in which ``*`` stands for any characters."""

    shared: Annotated[tuple[str, ...], checks.many(checks.pattern)] = ("*",)


@dataclass(frozen=True, slots=True)
class State:
    """``[state]``: where the agent keeps its keys, its devices and its audit log."""

    directory: Annotated[Path, checks.absolute_path] = Path("/var/lib/myclerk")


@dataclass(frozen=True, slots=True)
class Log:
    """``[log]``: how much is logged, and in which form."""

    level: Annotated[str, checks.one_of("debug", "info", "warning", "error")] = "info"
    format: Annotated[str, checks.one_of("auto", "human", "journal")] = "auto"


@dataclass(frozen=True, slots=True)
class Compression:
    """``[compression]``: which compressions the agent selects."""

    zstd: Annotated[bool, checks.boolean] = True


@dataclass(frozen=True, slots=True)
class Drivers:
    """``[drivers]``: which drivers stay out, and the tables ``[drivers.NAME]`` as the file has them."""

    disabled: Annotated[tuple[str, ...], checks.many(checks.text)] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, and the ``source`` that names their lines in errors.

    ``simulation`` is no setting: ``run --simulate`` puts it there.
    """

    server: Server = field(default_factory=Server)
    security: Security = field(default_factory=Security)
    access: Sharing = field(default_factory=Sharing)
    state: State = field(default_factory=State)
    log: Log = field(default_factory=Log)
    compression: Compression = field(default_factory=Compression)
    drivers: Drivers = field(default_factory=Drivers)
    simulation: Simulation | None = None
    source: Source = field(default_factory=Source, compare=False)

    @classmethod
    def defaults(cls) -> Config:
        """What holds where nothing is configured."""
        return cls()


SECTIONS: Mapping[str, type[Any]] = {
    "server": Server,
    "security": Security,
    "access": Sharing,
    "state": State,
    "log": Log,
    "compression": Compression,
}


def load(path: Path) -> Config:
    """The settings in the file at ``path``. Raises ConfigError when it cannot be read or used."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


def parse(text: str, origin: str) -> Config:
    """The settings in a TOML text; ``origin`` names it in errors. Raises ConfigError."""
    tables, source = parse_toml(text, origin)
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        _require_known(name, [*SECTIONS, "drivers"], (name,), source)
        if not isinstance(table, dict):
            raise source.error((name,), f"`{name}` must be a table: write [{name}]")
        sections[name] = (
            _drivers(table, source) if name == "drivers" else _section(SECTIONS[name], table, name, source)
        )
    return Config(**sections, source=source)


def check_minimum_tiers(minimum_tiers: Mapping[str, int], registry: Registry, source: Source) -> None:
    """Refuse a minimum tier of an operation that ``registry`` lacks, or one below the operation's own.

    To be called with ``config.security.minimum_tiers`` when the drivers' operations are registered.
    Raises ConfigError.
    """
    for name, tier in minimum_tiers.items():
        path = ("security", "minimum-tiers", name)
        try:
            operation = registry.by_name(name)
        except LocalError:
            raise source.error(path, f"`{name}` is no operation that this agent knows") from None
        if tier < operation.minimum_tier:
            raise source.error(
                path, f"`{name}` needs tier {operation.minimum_tier} at least; a setting can only raise it"
            )


def check_driver_settings(
    driver_name: str,
    given: Mapping[str, Any],
    declared: Mapping[str, tuple[Any, str]],
    source: Source,
) -> dict[str, Any]:
    """All settings of a driver, by their declared names: those ``given`` in its table, else the defaults.

    ``declared`` is the driver's ``settings``: name -> (default, sentence). In the file ``-`` stands for
    ``_``; a value must have the type of its default. Raises ConfigError.
    """
    names = {name.replace("_", "-"): name for name in declared}
    settings = {name: default for name, (default, _) in declared.items()}
    for key, value in given.items():
        path = ("drivers", driver_name, key)
        _require_known(key, names, path, source)
        check = checks.same_type(settings[names[key]])
        settings[names[key]] = _checked(check, value, path, source)
    return settings


def _section(kind: type[Section], table: Mapping[str, Any], name: str, source: Source) -> Section:
    """The section ``name`` from its table: each field is annotated with its type and its check."""
    hints = get_type_hints(kind, include_extras=True)
    known = {field.replace("_", "-"): hint for field, hint in hints.items()}
    values = {}
    for key, value in table.items():
        _require_known(key, known, (name, key), source)
        check = get_args(known[key])[1]
        values[key.replace("-", "_")] = _checked(check, value, (name, key), source)
    return kind(**values)


def _drivers(table: Mapping[str, Any], source: Source) -> Drivers:
    settings = dict(table)
    common = {"disabled": settings.pop("disabled")} if "disabled" in table else {}
    for name, value in settings.items():
        if not isinstance(value, dict):
            _require_known(name, ["disabled"], ("drivers", name), source)
    disabled = _section(Drivers, common, "drivers", source).disabled
    return Drivers(disabled, settings)


def _require_known(key: str, known: Iterable[str], path: tuple[str, ...], source: Source) -> None:
    known = list(known)
    if key in known:
        return
    alike = difflib.get_close_matches(key, known, n=1)
    hint = f", did you mean `{alike[0]}`?" if alike else ""
    raise source.error(path, f"unknown key `{key}`{hint}")


def _checked(check: Callable[[Any], T], value: Any, path: tuple[str, ...], source: Source) -> T:
    try:
        return check(value)
    except Unfit as unfit:
        path = (*path, *unfit.below)
        raise source.error(path, f"`{path[-1]}` {unfit}") from None
