"""`myclerk modem`: cellular modems, their SIM, network, signal and USSD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from myclerk_protocol.status import NotFound

from ..board import Board
from ..gsm import GsmModem
from .app import App, with_board
from .names import complete_resource, remember_resources
from .options import Group

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def modem() -> None:
    """Cellular modems: status, SIM, network, signal, USSD. Messages are in `sms`, calls in `call`, positions in `gnss`.

    Where a board has several modems, name one with --modem, as `modem list` shows it.

    Example: myclerk modem init --pin-file pin.txt --wait 60
    """


def _complete(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    items = complete_resource(context, parameter, f"gsm:{start}")
    return [CompletionItem(str(item.value).removeprefix("gsm:")) for item in items]


def modem_option(command: F) -> F:
    """-m NAME, for every command on a modem."""
    help = "Which one; not needed where there is only one."
    return click.option("-m", "--modem", "name", metavar="NAME", shell_complete=_complete, help=help)(command)


async def chosen(board: Board, name: str | None) -> GsmModem:
    """The modem of that name, or the only one. Raises NotFound, UsageError."""
    if name is not None:
        return board.gsm.modem(name)
    names = [found["name"] for found in await board.gsm.list()]
    if not names:
        raise NotFound(f"{board.name} has no modem for you")
    if len(names) > 1:
        raise click.UsageError(f"{board.name} has several modems; name one with --modem: {' '.join(names)}")
    return board.gsm.modem(names[0])


@modem.command("list")
@with_board()
async def list_modems(app: App, board: Board) -> None:
    """List the modems of a board, whether they answer or not.

    Example: myclerk modem list
    """
    modems = await board.gsm.list()
    remember_resources(board.name, (found["name"] for found in modems), "gsm")
    app.output.table(
        modems,
        {
            "MODEM": lambda row: row["name"],
            "DESCRIPTION": lambda row: row["description"],
            "TTYS": lambda row: " ".join(row.get("properties", {}).get("paths", ())),
        },
        empty=f"{board.name} has no modem for you; one on a UART must be in the agent's settings, [drivers.gsm] ports",
    )


@modem.command()
@modem_option
@click.option(
    "--pin", metavar="DIGITS", help="PIN of the SIM, tried once. Others here may see it; better a file."
)
@click.option("--pin-file", type=click.File(), help="File with the PIN, - for standard input.")
@click.option("--puk", metavar="DIGITS", help="PUK of a SIM that wants it; with --new-pin.")
@click.option("--new-pin", metavar="DIGITS", help="PIN to set with the PUK.")
@click.option(
    "--last-try", is_flag=True, help="Enter the code even if it is the last try that the SIM allows."
)
@click.option("--reset", is_flag=True, help="Let the modem start again before.")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, help="Seconds to wait for the network.")
@with_board()
async def init(
    app: App, board: Board, name: str | None, pin: str | None, pin_file: Any, puk: str | None, new_pin: str | None,
    last_try: bool, reset: bool, wait: float,
) -> None:  # fmt: skip
    """Set a modem up: unlock its SIM, wait for the network. A code that was refused is not tried again.

    Example: myclerk modem init --pin-file pin.txt --wait 60
    """
    if pin_file is not None:
        pin = pin_file.read().strip()
    found = await (await chosen(board, name)).initialise(
        pin=pin, puk=puk, new_pin=new_pin, last_try=last_try, reset=reset, wait=wait
    )
    app.output.document(found, *described(found))


@modem.command()
@modem_option
@with_board()
async def status(app: App, board: Board, name: str | None) -> None:
    """Show who a modem is, its SIM, its memory for messages.

    Example: myclerk modem status
    """
    found = await (await chosen(board, name)).status()
    app.output.document(found, *described(found))


@modem.command()
@modem_option
@with_board()
async def network(app: App, board: Board, name: str | None) -> None:
    """Show registration, operator, technology and cell.

    Example: myclerk modem network
    """
    found = await (await chosen(board, name)).network()
    domains = ", ".join(f"{domain} {state}" for domain, state in found["domains"].items())
    app.output.document(found, *described({**found, "domains": domains}))


@modem.command()
@modem_option
@with_board()
async def signal(app: App, board: Board, name: str | None) -> None:
    """Show strength and quality of the signal.

    Example: myclerk modem signal
    """
    found = await (await chosen(board, name)).signal()
    units = {"rssi": "dBm", "rsrp": "dBm", "rscp": "dBm", "rsrq": "dB", "sinr": "dB", "ec_io": "dB",
             "bit_error_rate": "%"}  # fmt: skip
    shown = {key: f"{value:g} {units[key]}" if key in units else value for key, value in found.items()}
    app.output.document(found, *(described(shown) or ["no signal"]))


@modem.command()
@modem_option
@with_board()
async def release(app: App, board: Board, name: str | None) -> None:
    """Give a modem's tty back at once, for `myclerk serial`.

    Example: myclerk modem release
    """
    await (await chosen(board, name)).release()


@modem.command()
@modem_option
@click.argument("code")
@click.argument("replies", nargs=-1)
@with_board()
async def ussd(app: App, board: Board, name: str | None, code: str, replies: tuple[str, ...]) -> None:
    """Send a USSD CODE, and REPLIES to what the network asks then.

    Without enough replies the dialogue is ended, and the exit code is 1.

    Example: myclerk modem ussd '*101#' 1
    """
    used = await chosen(board, name)
    answer = await used.ussd(code)
    answers = [answer]
    for reply in replies:
        if answer["state"] != "waiting":
            break
        app.output.say(answer.get("text", ""))
        answer = await used.ussd_reply(reply)
        answers.append(answer)
    app.output.document(answers, *answer.get("text", answer["state"]).splitlines())
    if answer["state"] == "waiting":
        await used.ussd_cancel()
        raise click.ClickException("the network waits for a reply; give it behind the code")


def described(found: Mapping[str, Any]) -> list[str]:
    """One line for each field."""
    words = {True: "yes", False: "no"}
    return [
        f"{key.replace('_', ' ')}: {words[value] if isinstance(value, bool) else value}"
        for key, value in found.items()
    ]
