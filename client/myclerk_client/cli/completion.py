"""`myclerk completion`: the script that teaches a shell to complete this program's command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .app import App
from .options import Command

PROGRAM = "myclerk"
COMPLETE_VARIABLE = "_MYCLERK_COMPLETE"
"""Set by the script in the environment when the shell asks for completions."""


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    Board names complete to what is paired, resources to what `devices` or `serial list` showed last.

    Example: myclerk completion bash > ~/.local/share/bash-completion/completions/myclerk
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source()
    app = context.ensure_object(App)
    app.output.document({"shell": shell, "script": script}, *script.splitlines())
