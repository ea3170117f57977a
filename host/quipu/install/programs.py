"""The programs that run on a board while the laptop looks at it or writes to it: a file each, in
snippets/. Runs none of them.

Each file is sent as it is and ends, on the wire, with a call that holds the values: nothing in a
program is replaced."""

from quipu import resources


def source(name: str) -> str:
    """Return a program without a call: what it defines is there for the calls after it."""
    return (resources.snippets() / f"{name}.py").read_text()


def call(name: str, *values: object) -> str:
    """Return the call of a function with these values, each something that its repr() builds."""
    return f"{name}({', '.join(map(repr, values))})\n"


def program(name: str, *values: object) -> str:
    """Return a program that ends with the call of the function that has its name."""
    return source(name) + call(name, *values)
