"""The options that every command takes, before or behind its name."""

from __future__ import annotations

import logging
from typing import Any

import click

from .app import App
from .names import complete_board
from .output import clean


class _CleanFormatter(logging.Formatter):
    """Log messages may quote a board; what could steer the terminal is replaced."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        return clean(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 (the name is logging's)
        return "\n".join(map(clean, super().formatException(ei).splitlines()))


def configure_logging(*, verbose: bool) -> None:
    """Log to standard error: warnings, or with ``verbose`` all that this project has to say."""
    handler = logging.StreamHandler()
    handler.setFormatter(_CleanFormatter("myclerk: %(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("myclerk").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Note a value that was given; the option may stand in two places, and absence undoes nothing."""
    app = context.find_object(App)
    if app is not None and parameter.name is not None and value not in (None, False):
        setattr(app, parameter.name, value)
        if parameter.name == "verbose":
            configure_logging(verbose=True)


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, is_eager=True, callback=_remember, **attributes)


GLOBAL_OPTIONS = (
    _option(
        "-b", "--board", metavar="NAME", shell_complete=complete_board,
        help="Board to use, or unix:PATH for an agent here. [default: $MYCLERK_BOARD, or the only one]",
    ),
    _option("--json", "as_json", is_flag=True, help="Results and errors as JSON."),
    _option(
        "--timeout", metavar="SECONDS", type=click.FloatRange(0, min_open=True),
        help="Limit for connecting [default: 15], and for a command that ends by itself [default: none].",
    ),
    _option("-v", "--verbose", is_flag=True, help="Log to standard error what happens."),
)  # fmt: skip


class GlobalOptionsMixin(click.Command):
    """Takes the global options, too, unless an option of its own has the same name."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then the global ones."""
        own = super().get_params(ctx)
        taken = {name for parameter in own for name in parameter.opts}
        return [*own, *(option for option in GLOBAL_OPTIONS if not taken.intersection(option.opts))]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options; the global ones in full where there is no parent that shows them."""
        parameters = self.get_params(ctx)
        _section(ctx, formatter, "Options", [p for p in parameters if p not in GLOBAL_OPTIONS])
        if ctx.parent is None:
            _section(ctx, formatter, "Options of every command", list(GLOBAL_OPTIONS))
        else:
            names = ", ".join(name for option in GLOBAL_OPTIONS for name in option.opts)
            formatter.write_paragraph()
            formatter.write_text(f"Options of every command, see `myclerk --help`: {names}")
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


def _section(ctx: click.Context, formatter: click.HelpFormatter, title: str, parameters: list[Any]) -> None:
    options = [p for p in parameters if isinstance(p, click.Option)]
    records = [record for p in options if (record := p.get_help_record(ctx)) is not None]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)


class Command(GlobalOptionsMixin):
    """A command with the global options."""


class Group(GlobalOptionsMixin, click.Group):
    """A group whose commands have the global options."""

    command_class = Command
    group_class = type
