"""``python tools/manpages.py DIRECTORY``: the man pages, each from what it describes.

myclerk(1) and myclerk-agent(1) come from the commands themselves, agent.toml(5) from the commented example, and
myclerk-protocol(7) from docs/protocol.md by lowdown(1).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from myclerk_agent.cli import main as agent
from myclerk_client.cli import main as client
from myclerk_client.cli.options import GLOBAL_OPTIONS
from myclerk_client.cli.outcomes import OUTCOMES
from myclerk_protocol import __version__

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "agent" / "myclerk_agent" / "agent.toml.example"
PROTOCOL = ROOT / "docs" / "protocol.md"
SOURCE = f"MyClerk {__version__}"
SETTING = re.compile(r"#?([a-z][a-z-]*) = (.*)")

CLIENT_FILES = {
    "~/.config/myclerk/boards.json": "The boards that this user has paired, and the keys they must prove to have.",
    "~/.config/myclerk/device.key": "The key by which boards know this user. Who has it is this user to them.",
}
AGENT_FILES = {
    "/etc/myclerk/agent.toml": "Settings, see agent.toml(5).",
    "/var/lib/myclerk": "The agent's keys, its devices, its audit log. Removed when the package is purged.",
    "/run/myclerk/agent.sock": "Where programs on the board reach the agent: root, the agent's user, and whom "
    "`unix-users` names.",
}
ENVIRONMENT = {"MYCLERK_BOARD": "The board to use where --board is not given."}
AGENT_ENVIRONMENT = {"MYCLERK_AGENT_CONFIG": "Settings instead of those in /etc/myclerk/agent.toml."}


def main() -> int:
    """Write all pages into the directory that is the one argument."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    pages = {"myclerk.1": client_page(), "myclerk-agent.1": agent_page(), "agent.toml.5": settings_page()}
    for name, page in pages.items():
        (directory / name).write_text(page, encoding="utf-8")
    write_protocol(directory / "myclerk-protocol.7")
    return 0


def client_page() -> str:
    """myclerk(1)."""
    outcomes = {str(outcome.code): outcome.meaning.capitalize() + "." for outcome in OUTCOMES}
    return "\n".join(
        [
            *title("myclerk", 1, "use the hardware of a board from another computer"),
            *command_page(client, "myclerk"),
            ".SH OPTIONS OF EVERY COMMAND",
            *options(client, list(GLOBAL_OPTIONS), "myclerk"),
            *listed("EXIT STATUS", outcomes),
            *listed("ENVIRONMENT", ENVIRONMENT),
            *listed("FILES", CLIENT_FILES),
            *see_also("myclerk-agent(1)", "myclerk-protocol(7)"),
        ]
    )


def agent_page() -> str:
    """myclerk-agent(1)."""
    return "\n".join(
        [
            *title("myclerk-agent", 1, "share the hardware of this board with paired computers"),
            *command_page(agent, "myclerk-agent"),
            *listed("ENVIRONMENT", AGENT_ENVIRONMENT),
            *listed("FILES", AGENT_FILES),
            *see_also("agent.toml(5)", "myclerk(1)", "myclerk-protocol(7)", "systemd.exec(5)"),
        ]
    )


def command_page(root: click.Command, name: str) -> Iterator[str]:
    """Synopsis, description and every command below ``root``."""
    assert isinstance(root, click.Group)
    yield from (".SH SYNOPSIS", rf".B {roff(name)}", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]")
    yield ".SH DESCRIPTION"
    yield from prose(root)
    own = [parameter for parameter in root.params if parameter not in GLOBAL_OPTIONS]
    yield ".SH OPTIONS"
    yield from options(root, own, name)
    yield ".SH COMMANDS"
    yield from commands(root, name)


def commands(group: click.Group, words: str) -> Iterator[str]:
    """The commands of a group, and of the groups in it."""
    context = click.Context(group, info_name=words)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if command.hidden:
            continue
        path = f"{words} {name}"
        if isinstance(command, click.Group):
            yield from prose(command, f".SS {roff(path)}")
            yield from commands(command, path)
            continue
        usage = [piece for piece in command.collect_usage_pieces(click.Context(command)) if piece]
        yield from prose(command, f".SS {roff(' '.join([path, *usage]))}")
        own = [parameter for parameter in command.params if parameter not in GLOBAL_OPTIONS]
        yield from options(command, own, path)


def prose(command: click.Command, heading: str | None = None) -> Iterator[str]:
    """What the help says, paragraph by paragraph; examples as they are typed."""
    if heading is not None:
        yield heading
    for index, paragraph in enumerate((command.help or "").strip().split("\n\n")):
        if index:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *map(roff, paragraph.lstrip("\b\n").splitlines()), ".fi")
        elif paragraph.startswith("Example: "):
            yield from ("Example:", ".RS", ".nf", roff(joined(paragraph[9:])), ".fi", ".RE")
        else:
            yield roff(joined(paragraph))


def options(command: click.Command, parameters: list[click.Parameter], words: str) -> Iterator[str]:
    """The options among ``parameters``, each with its help."""
    context = click.Context(command, info_name=words)
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is not None:
            yield from item(record[0], joined(record[1]))


def settings_page() -> str:
    """agent.toml(5): comments of the example are its text, settings its items."""
    lines = [*title("agent.toml", 5, "settings of the MyClerk agent"), ".SH DESCRIPTION"]
    text: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines += [*paragraphs(text), f".SH {roff(line.upper())}"]
            text = []
        elif found := SETTING.fullmatch(line):
            lines += [".TP", rf"\fB{roff(found[1])}\fR = {roff(found[2])}", *paragraphs(text)]
            text = []
        elif line.startswith("#"):
            text.append(line[2:])
        elif text:
            text.append("")
    lines += [*paragraphs(text, first=".PP"), *see_also("myclerk-agent(1)")]
    return "\n".join(lines)


def paragraphs(lines: list[str], first: str = "") -> Iterator[str]:
    """Lines of text; those that are indented stand as they are."""
    text = "\n".join(lines).strip("\n")
    for index, paragraph in enumerate(re.split(r"\n\n+", text) if text else []):
        if index or first:
            yield first if index == 0 else ".PP"
        if paragraph.startswith(" "):
            yield from (".nf", *map(roff, paragraph.splitlines()), ".fi")
        else:
            yield roff(joined(paragraph))


def write_protocol(path: Path) -> None:
    """myclerk-protocol(7), without the links that lead nowhere on paper."""
    text = PROTOCOL.read_text(encoding="utf-8")
    text = re.sub(r"\nContents: .*?\n\n", "\n", text, flags=re.DOTALL)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    text = re.sub(
        r"\A# .*\n", "# NAME\n\nmyclerk-protocol - the MyClerk protocol on the wire\n\n# DESCRIPTION\n", text
    )
    metadata = {"title": "MYCLERK-PROTOCOL", "section": "7", "date": "", "source": SOURCE}
    words = [word for key, value in metadata.items() for word in ("-M", f"{key}={value}")]
    command = ["lowdown", "-s", "-Tman", "--parse-no-intraemph", "--parse-no-super", *words]
    page = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
    page = re.sub(r"[0-9a-f]{64,}", lambda key: r"\:".join(re.findall(".{1,32}", key[0])), page)
    # For man(1): there are tables, and nothing to fill lines with beside keys that long.
    path.write_text("'\\\" t\n.ds AD l\n" + page, encoding="utf-8")


def title(name: str, section: int, purpose: str) -> Iterator[str]:
    """The head of a page."""
    yield f'.TH {name.upper()} {section} "" "{SOURCE}"'
    yield from (".SH NAME", rf"{roff(name)} \- {roff(purpose)}")


def listed(heading: str, items: dict[str, str]) -> Iterator[str]:
    """A section of items and what they are."""
    yield f".SH {heading}"
    for name, text in items.items():
        yield from item(name, text)


def item(name: str, text: str) -> Iterator[str]:
    """One item of a list."""
    yield from (".TP", rf"\fB{roff(name)}\fR", roff(text) or r"\&")


def see_also(*pages: str) -> Iterator[str]:
    """The last section."""
    yield ".SH SEE ALSO"
    yield ", ".join(rf"\fB{roff(page.partition('(')[0])}\fR({page[-2]})" for page in pages)
    yield ""


def joined(text: str) -> str:
    """A paragraph as one line."""
    return " ".join(text.split())


def roff(text: str) -> str:
    """Text that groff shows as it is: hyphens as typed, no line a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("`", r"\(ga").replace("'", r"\(aq")
    text = text.replace("^", r"\(ha").replace("~", r"\(ti")
    return rf"\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    sys.exit(main())
