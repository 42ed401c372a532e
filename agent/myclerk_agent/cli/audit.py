"""``myclerk-agent audit``: who did what on this board, and whether the record of it is whole."""

from __future__ import annotations

import contextlib
import json

import click

from .. import audit_check
from ..audit_chain import Link
from .context import Context, sentence_errors


@click.group()
def audit() -> None:
    """Read the audit log: who did what, from where, and what came of it."""


def _anchor(context: click.Context, parameter: click.Parameter, value: str | None) -> Link | None:
    if value is None:
        return None
    number, _, digest = value.partition(":")
    if not number.isascii() or not number.isdigit() or len(digest) != 64:
        raise click.BadParameter("an anchor is NUMBER:HASH, as `audit verify` prints it")
    return Link(int(number), digest.lower())


@audit.command()
@click.option(
    "--anchor", callback=_anchor, metavar="NUMBER:HASH", help="A record noted elsewhere: it must be there."
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
@click.pass_obj
@sentence_errors
def verify(context: Context, anchor: Link | None, as_json: bool) -> None:
    """Check that no record was changed, dropped or put elsewhere; exit code 1 if one was.

    Who may write to the state directory can make the whole log anew. Note the last record's number and hash
    elsewhere now and then, and give it as --anchor: a log made anew does not have it.

    Example: myclerk-agent audit verify
    """
    with context.state_directory() as directory:
        report = audit_check.verify(directory, anchor)
    if as_json:
        found = {
            "records": report.records,
            "first": report.first,
            "last": str(report.last) if report.records else None,
            "problems": report.problems,
        }
        click.echo(json.dumps(found))
    else:
        for problem in report.problems:
            click.echo(problem)
        click.echo(_summary(report))
    if report.problems:
        raise SystemExit(1)


def _summary(report: audit_check.Report) -> str:
    if not report.records:
        return "the audit log is empty"
    verdict = "the chain is broken" if report.problems else "the chain holds"
    older = "" if report.first == 1 else f" from number {report.first} on, older ones are not kept"
    return f"{report.records} records{older}: {verdict}; the last is {report.last}"


@audit.command()
@click.option("-n", "count", type=click.IntRange(0), default=20, show_default=True, help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they come.")
@click.option("--json", "as_json", is_flag=True, help="The records as they are in the files.")
@click.pass_obj
@sentence_errors
def tail(context: Context, count: int, follow: bool, as_json: bool) -> None:
    """Show the last records.

    Example: myclerk-agent audit tail -f
    """
    show = json.dumps if as_json else audit_check.describe
    with context.state_directory() as directory:
        for entry in audit_check.tail(directory, count):
            click.echo(show(entry))
        if follow:
            with contextlib.suppress(BrokenPipeError):
                for entry in audit_check.follow(directory):
                    click.echo(show(entry))
