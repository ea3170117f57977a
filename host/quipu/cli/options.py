"""What the rows of the verbs are made of: the kinds of arguments and options that several verbs
share. Knows no verb."""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from quipu import errors, limits, text, values
from shared_kernel import fixed

Data = dict[str, Any]


class HexBytes(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # click's newer versions alone make it generic
    """Bytes written in hex. size: how many, if that is fixed."""

    name = "hex"

    def __init__(self, size: int | None = None) -> None:
        self.size = size

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            self.fail(f"{value!r} is not bytes in hex, such as 00ff7a")
        if self.size is not None and len(data) != self.size:
            self.fail(f"it has {2 * self.size} hex digits, not {2 * len(data)}: {value!r}")
        return data


class Name(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # click's newer versions alone make it generic
    """The name of a key, as text or in hex after 0x, as it is shown."""

    name = "key"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        return value if isinstance(value, bytes) else text.named(value)


class Number(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # click's newer versions alone make it generic
    """An integer from `low` to `high`."""

    name = "n"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{limits.shown(value)!r} is not an integer")
        if not self.low <= number <= self.high:
            self.fail(f"{limits.shown(number)} is not from {self.low} to {self.high}")
        return number


class Size(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # click's newer versions alone make it generic
    """A number of bytes: 4096, 0x1000, 4k or 1M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return limits.bytes_of(str(value))
        except ValueError as error:
            self.fail(str(error))


U32 = Number(0, 0xFFFFFFFF)


def argument(
    name: str, metavar: str, type: Any = str, many: bool = False, env: str | None = None
) -> click.Argument:
    return click.Argument(
        [name], metavar=metavar, type=type, nargs=-1 if many else 1, required=True, envvar=env
    )


def option(names: str, help: str, **more: Any) -> click.Option:
    return click.Option(names.split(), help=help, **more)


PORT = argument("port", "PORT", env="QUIPU_PORT")
ORIGIN = option(
    "--origin origins",
    "archive of the log that this one goes on from; may be given again",
    metavar="DIR",
    multiple=True,
)
SOURCE = argument("source", "PORT|DIR")
AT = option(
    "--at",
    "of an archive: after this seq, or at this time (2026-11-21T14:02:30Z, 14:02, -5m)",
    metavar="SEQ|TIME",
)
ARCHIVE = option("--archive", "the archive's directory", metavar="DIR", required=True)
VECTOR = argument("components", "X...", many=True)
Q16 = option("--q16", "X are raw Q16.16 integers: 65536 is 1", is_flag=True)
CLAMP = option(
    "--clamp", "take -32768 or 32767.99998 for what is beyond, instead of an error", is_flag=True
)
ID = argument("ident", "ID", U32)
KEY = argument("key", "KEY", Name())
META = (
    option("--meta", "metadata: text", metavar="TEXT"),
    option("--meta-hex", "metadata: bytes in hex", metavar="HEX", type=HexBytes()),
)
TAG = option("--tag", "tag of the record", type=U32)
MAX_STATE = option(
    "--max-state",
    "refuse a larger state, before it is made; by default a third of the free memory",
    type=Size(),
    metavar="BYTES",
    expose_value=False,
    callback=lambda ctx, param, value: setattr(limits, "max_state", value),
)
JSON = option("--json", "print one JSON object, errors too", is_flag=True)


class Verb(NamedTuple):
    """act: the handler; show: what renders its data; look: options that only `show` takes; stays:
    it stays in the foreground, and is given a function by which it says what it has as it comes."""

    act: Callable[..., Any]
    show: Callable[..., Any]
    params: tuple[click.Parameter, ...]
    look: tuple[str, ...] = ()
    stays: bool = False


def components_of(components: Any, q16: bool, clamp: bool) -> list[int]:
    """Return the vector that was given as decimal numbers, or with q16 as raw integers. clamp: what
    is outside of Q16.16 becomes its nearest end."""
    if not q16:
        return values.vector(components, clamp)
    try:
        raw = [int(each) for each in components]
    except ValueError as error:
        raise errors.Invalid(f"--q16 takes integers: {limits.shown(error)}") from None
    if clamp:
        return [fixed.clamp(each) for each in raw]
    for i, each in enumerate(raw):
        if fixed.clamp(each) != each:
            raise errors.Invalid(
                f"component {i}: {limits.shown(each)} is outside of Q16.16: expected {fixed.MIN} to {fixed.MAX}. "
                "Scale the numbers, or clamp them (--clamp)"
            )
    return raw
