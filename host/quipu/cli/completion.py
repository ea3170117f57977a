"""The verb completion: what a shell evaluates so that Tab completes the verbs and options of
`quipu`."""

import click
from click.shell_completion import get_completion_class

from quipu.cli.options import Data, Verb
from quipu.errors import HostError

VARIABLE = "_QUIPU_COMPLETE"  # by it, click finds that a shell asks


def completion(shell: str) -> Data:
    """Print what makes a shell complete this command's verbs.

    Have the shell evaluate it at its start.

    \b
    Example:
      quipu completion bash >> ~/.bashrc
      quipu completion zsh >> ~/.zshrc
      quipu completion fish > ~/.config/fish/completions/quipu.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise HostError(f"this version of click completes nothing for {shell}")
    text = (
        script.source_template % script(click.Command("quipu"), {}, "quipu", VARIABLE).source_vars()
    )
    return {"shell": shell, "script": text.strip("\n")}


def show_completion(data: Data) -> str:
    script: str = data["script"]
    return script


VERBS = {
    "completion": Verb(
        completion,
        show_completion,
        (click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"])),),
    )
}
