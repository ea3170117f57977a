"""Click's command with two rules of ours: what begins with a minus and a digit is a value, and an
option that takes one value is given once. Knows no verb."""

import re
from typing import Any

import click

_NUMBER = re.compile(r"-\.?\d")
_MARK = (
    "\ufdd0"  # a noncharacter of Unicode: put before a value, so that click sees no option in it
)


class Command(click.Command):
    """A verb. loose: an unknown option is a value too, as in `quipu put PORT offset -low`."""

    def __init__(self, name: str, loose: bool, **more: Any):
        super().__init__(name, context_settings={"ignore_unknown_options": loose}, **more)
        self._loose = loose

    def make_parser(self, ctx: click.Context) -> Any:
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args
        valued, flags = self._letters(ctx)

        def parse_args(args: list[str]) -> tuple[dict[str, Any], list[str], list[click.Parameter]]:
            marked = [
                _MARK + each if self._is_value(each, valued, flags) else each for each in args
            ]
            found, left, order = parse(marked)
            for each in dict.fromkeys(order):
                if order.count(each) > 1 and _takes_one(each) and not ctx.resilient_parsing:
                    raise click.UsageError(
                        f"{each.opts[0]} is given {order.count(each)} times: it takes one value, "
                        "so give it once",
                        ctx,
                    )
            return {name: _bare(value) for name, value in found.items()}, _bare(left), order

        parser.parse_args = parse_args
        return parser

    def _letters(self, ctx: click.Context) -> tuple[set[str], set[str]]:
        """Return the letters of the options of one letter: those that take a value, and flags."""
        valued: set[str] = set()
        flags: set[str] = set()
        for each in self.get_params(ctx):
            if isinstance(each, click.Option):
                letters = {name[1] for name in each.opts if len(name) == 2}
                (flags if each.is_flag else valued).update(letters)
        return valued, flags

    def _is_value(self, given: str, valued: set[str], flags: set[str]) -> bool:
        """Return whether what begins with a minus is a value: a number such as -5h always; -hot too
        where unknown options are values, although -h is a flag."""
        if _NUMBER.match(given):
            return True
        if not self._loose or len(given) < 3 or given[0] != "-" or given[1] == "-":
            return False
        return given[1] not in valued and not set(given[1:]) <= flags


def _takes_one(param: click.Parameter) -> bool:
    return isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count)


def _bare(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    if isinstance(value, list):
        return [_bare(each) for each in value]
    return tuple(map(_bare, value)) if isinstance(value, tuple) else value
