"""`myclerk sms`: short messages through a board's modem."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from ..board import Board
from .app import App, with_board
from .modem import chosen, modem_option
from .options import Group

LANGUAGES = (
    "turkish", "spanish", "portuguese", "bengali", "gujarati", "hindi", "kannada", "malayalam", "oriya", "punjabi",
    "tamil", "telugu", "urdu",
)  # fmt: skip


@click.group(cls=Group)
def sms() -> None:
    """Short messages: send, receive, list, delete.

    Example: myclerk sms send +491701234567 "The gate is open"
    """


@sms.command()
@modem_option
@click.argument("to")
@click.argument("text", required=False)
@click.option("--data", metavar="HEX", help="Send bytes instead of text.")
@click.option("--encoding", type=click.Choice(["auto", "gsm7", "ucs2"]), default="auto", show_default=True)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    metavar="NAME",
    help="Its national characters may be used: fewer parts.",
)
@click.option("--flash", is_flag=True, help="To be shown at once and not kept.")
@click.option("--report", is_flag=True, help="Ask for delivery reports; `sms receive` shows them.")
@click.option("--validity", type=click.FloatRange(5 / 60, 24 * 63 * 7), help="Hours that delivery is tried.")
@with_board()
async def send(
    app: App, board: Board, name: str | None, to: str, text: str | None, data: str | None, encoding: str,
    language: str | None, flash: bool, report: bool, validity: float | None,
) -> None:  # fmt: skip
    """Send TEXT to the number TO; without TEXT, what standard input has. Long texts go in several parts.

    Example: myclerk sms send +491701234567 "The gate is open" --report
    """
    octets = None
    if data is not None:
        if text is not None:
            raise click.UsageError("give either a text or --data")
        try:
            octets = bytes.fromhex(data)
        except ValueError:
            raise click.BadParameter(f"{data!r} are no hexadecimal digits, two for each byte") from None
    elif text is None:
        text = sys.stdin.read().rstrip("\n")
    sent = await (await chosen(board, name)).send(
        to, text, data=octets, encoding=encoding, language=language, flash=flash, report=report,
        validity=None if validity is None else validity * 3600,
    )  # fmt: skip
    parts = "1 part" if sent["parts"] == 1 else f"{sent['parts']} parts"
    references = " ".join(map(str, sent["references"]))
    app.output.document(sent, f"sent in {parts}, reference {references}")


@sms.command("list")
@modem_option
@with_board()
async def list_messages(app: App, board: Board, name: str | None) -> None:
    """List the messages in the modem's memory.

    Example: myclerk sms list
    """
    messages = await (await chosen(board, name)).messages()
    app.output.table(
        messages,
        {
            "ID": lambda row: row["id"][:16],
            "STATUS": lambda row: row.get("status"),
            "TIME": _time,
            "FROM/TO": _partner,
            "TEXT": _text,
        },
        empty="no messages",
    )


@sms.command()
@modem_option
@click.option("--new", is_flag=True, help="Leave out what is in the modem's memory already.")
@click.option("--delete", is_flag=True, help="Delete each message from the modem once it was shown.")
@click.option("--count", type=click.IntRange(1), help="End after so many messages and reports.")
@with_board(limited=False)
async def receive(
    app: App, board: Board, name: str | None, new: bool, delete: bool, count: int | None
) -> None:
    """Show messages and delivery reports as they come, until Ctrl-C.

    Example: myclerk sms receive --delete
    """
    seen = 0
    async with await (await chosen(board, name)).receive(stored=not new, delete=delete) as inbox:
        async for event in inbox:
            app.output.document(event, *_shown(event))
            seen += event["kind"] in ("message", "report")
            if count is not None and seen >= count:
                return


def _shown(event: Mapping[str, Any]) -> list[str]:
    if event["kind"] == "message":
        message = event["message"]
        return [f"{_time(message)} {_partner(message)}: {_text(message)}"]
    if event["kind"] == "report":
        report = event["report"]
        return [f"report: {report['recipient']} {report['outcome']}, reference {report['reference']}"]
    notes = {
        "storage-full": "the modem's memory is full; delete messages, or nothing more can come",
        "lost": "the modem has left; waiting for it",
    }
    return [notes[event["kind"]]]


@sms.command()
@modem_option
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--read", "statuses", flag_value="read", help="All that were read.")
@click.option("--all", "statuses", flag_value="all", help="All in the modem's memory.")
@with_board()
async def delete(
    app: App, board: Board, name: str | None, ids: tuple[str, ...], statuses: str | None
) -> None:
    """Delete messages from the modem's memory, by the beginning of their ID as `sms list` shows it.

    Example: myclerk sms delete 27fb5abf80aa3240
    """
    if bool(ids) is bool(statuses):
        raise click.UsageError("say which: one or more ID, or --read, or --all")
    used = await chosen(board, name)
    if statuses is not None:
        wanted = ["read"] if statuses == "read" else ["unread", "read", "unsent", "sent"]
        deleted = await used.delete(statuses=wanted)
    else:
        deleted = await used.delete(_full(await used.messages(), ids))
    app.output.document({"deleted": deleted}, f"{deleted} deleted")


def _full(messages: list[dict[str, Any]], starts: tuple[str, ...]) -> list[str]:
    """Whole identifiers. Raises UsageError for a beginning that names none, or several."""
    found = []
    for start in starts:
        fitting = [message["id"] for message in messages if message["id"].startswith(start)]
        if len(fitting) != 1:
            raise click.UsageError(
                f"{'no message' if not fitting else 'more than one message'} begins with {start}"
            )
        found += fitting
    return found


def _time(message: Mapping[str, Any]) -> str:
    if "timestamp" not in message:
        return ""
    return datetime.fromtimestamp(message["timestamp"], UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _partner(message: Mapping[str, Any]) -> str:
    return str(message.get("sender") or message.get("recipient") or "")


def _text(message: Mapping[str, Any]) -> str:
    lacking = (
        "" if message["complete"] else f" (parts missing: {' '.join(map(str, message.get('missing', ())))})"
    )
    if "text" in message:
        return str(message["text"]).replace("\n", " ") + lacking
    if "report" in message:
        return f"report: {message['report']['outcome']}"
    return f"{message['encoding']}: {message.get('data', b'').hex()}{lacking}"
