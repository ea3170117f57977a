"""The command's help is enough to use it: every verb shows an example, and each example is a line
that the verb takes."""

import re
import shlex

import click
import pytest
from quipu.cli import main as cli


def examples(verb):
    """Return the example lines of a verb's help, whole: "quipu ..."."""
    text = click.unstyle(cli.command(verb).help)
    lines = re.split(r"Examples?:\n", text)[1].splitlines() if "Example" in text else []
    return [line.strip() for line in lines if line.strip().startswith("quipu ")]


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_a_verb_shows_an_example_that_it_takes(verb):
    found = examples(verb)
    assert found and all(each.split()[1] in cli.VERBS for each in found)
    assert any(each.split()[1] == verb for each in found)
    for line in found:
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part.split(">")[0] if ">" in part and "'" not in part else part)
            if words[0] == "quipu":
                command = cli.command(words[1])
                with command.make_context(words[1], words[2:], resilient_parsing=False):
                    pass


def test_a_line_that_the_verb_does_not_take_is_noticed():
    with pytest.raises(click.UsageError):
        cli.command("history").make_context("history", ["--no-such-thing"])
