"""Writes docs/api.md, the page of every public name, from the docstrings of what `quipu.__all__`
lists.

    python tools/api.py             write the page
    python tools/api.py --check     write nothing; exit code 1, with the difference, if the page is not what it would write

Reads source text and docstrings only (signatures as they are written), so the page is the same for
every Python. Never says in which file a name lives: files may move, names stay.
"""

import argparse
import ast
import difflib
import inspect
import os
import re
import sys
import textwrap
import types
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
SHOWN = 60  # lines of a difference

BEGINNING = """\
# API

Every public name of `import quipu` on a laptop, from its docstring. `python tools/api.py` writes this page, and `make lint` checks it: edit
the docstrings, not the page.

On a board, `import quipu` offers `quipu.start()`, which recovers the log and returns the memory, and `quipu.serve()`. That memory has
the verbs of [Board](#board) from `insert` to `history`, with the same arguments and results; `firmware/quipu/memory.py` has them all.
"""

WIDTH = 88  # of a signature on one line


def signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, before: str, bound: bool = False
) -> str:
    """Return "before(arguments) -> type" as written, without self or cls if bound, an argument a
    line if it is long."""
    given = node.args
    plain = given.posonlyargs + given.args
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults)) + list(
        given.defaults
    )
    shown = [argument(each, default) for each, default in zip(plain, defaults)][bound:]
    if given.vararg or given.kwonlyargs:
        shown.append("*" + (argument(given.vararg, None) if given.vararg else ""))
    shown += [argument(each, default) for each, default in zip(given.kwonlyargs, given.kw_defaults)]
    if given.kwarg:
        shown.append("**" + argument(given.kwarg, None))
    returns = f" -> {type_(node.returns)}" if node.returns else ""
    line = f"{before}({', '.join(shown)}){returns}"
    return (
        line
        if len(line) <= WIDTH
        else f"{before}(\n    " + ",\n    ".join(shown) + f",\n){returns}"
    )


def argument(node: ast.arg, default: ast.expr | None) -> str:
    shown = node.arg + (f": {type_(node.annotation)}" if node.annotation else "")
    return shown + (f" = {ast.unparse(default)}" if default else "")


def type_(node: ast.expr) -> str:
    return ast.unparse(Unquoted().visit(node))


class Unquoted(ast.NodeTransformer):
    """Turns the types that are written as text, because they are defined further down, into
    types."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.parse(node.value, mode="eval").body if isinstance(node.value, str) else node


def source(thing: object) -> ast.stmt:
    """Return the syntax tree of a class or a function."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]  # type: ignore[arg-type]  # whatever has a source


def prose(docstring: str | None, names: Iterable[str] = ()) -> list[str]:
    """Return a docstring as Markdown lines. An indented part becomes code; what is said of the
    arguments or attributes `names`, in the form "name: meaning", a list."""
    out: list[str] = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(docstring or "").strip("\n")):
        if all(line.startswith("    ") for line in part.split("\n")):
            out += ["", "```python", *textwrap.dedent(part).split("\n"), "```"]
        elif part:
            out += ["", *described(part.replace("<", "&lt;"), sorted(names))]
    return out


def described(part: str, names: list[str]) -> list[str]:
    """Return a paragraph with a list of what it says of each name. The list ends where a sentence
    begins a line."""
    if not names:
        return part.split("\n")
    name = r"\*{0,2}(?:%s)(?:\([\w, ]*\))?" % "|".join(map(re.escape, names))
    place = re.compile(rf"(?:^|(?<=[;.])\s|\n)({name}(?:, {name})*):\s")
    found = list(place.finditer(part))
    out = part[: found[0].start()].rstrip().split("\n") if found else part.split("\n")
    for i, each in enumerate(found):
        end = found[i + 1].start() if i + 1 < len(found) else len(part)
        said = part[each.end() : end]
        after = re.search(r"(?<=\.)\n(?=[A-Z])", said)
        text = " ".join(said[: after.start() if after else None].split()).rstrip(";")
        out += ([""] if i == 0 and out[-1] else []) + [f"- `{each[1]}`: {text}"]
        if after:
            out += ["", *said[after.end() :].split("\n"), *([""] if i + 1 < len(found) else [])]
    return out if out[0] else out[1:]


def function(
    name: str, node: ast.FunctionDef | ast.AsyncFunctionDef, level: int, of: str = ""
) -> list[str]:
    """Return the section of a function, or of a method or property of the class `of`."""
    title = f"{of}.{name}" if of else name
    decorators = [ast.unparse(each) for each in node.decorator_list]
    if "property" in decorators:
        shown = title + (f": {type_(node.returns)}" if node.returns else "")
    else:
        shown = signature(node, title, bound=bool(of) and "staticmethod" not in decorators)
    names = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
    return [
        "",
        "#" * level + " " + title,
        "",
        "```python",
        shown,
        "```",
        *prose(ast.get_docstring(node), names),
    ]


def field(node: ast.AnnAssign) -> str:
    """Return "name: type = default" of an attribute."""
    default = f" = {ast.unparse(node.value)}" if node.value else ""
    return f"{ast.unparse(node.target)}: {type_(node.annotation)}{default}"


def public(nodes: list[ast.stmt]) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        each
        for each in nodes
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not each.name.startswith("_")
        and not any(ast.unparse(decorator).endswith(".setter") for decorator in each.decorator_list)
    ]


def class_(name: str, thing: type, sections: dict[type, str]) -> list[str]:
    """Return the section of a class. sections: the classes that have one, to link to a base among
    them."""
    node = source(thing)
    assert isinstance(node, ast.ClassDef)
    fields = [
        each
        for each in node.body
        if isinstance(each, ast.AnnAssign)
        and isinstance(each.target, ast.Name)
        and not each.target.id.startswith("_")
    ]
    start = next(
        (
            each
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name == "__init__"
        ),
        None,
    )
    shown = (
        signature(start, f"class {name}", bound=True).removesuffix(" -> None")
        if start
        else f"class {name}"
    )
    names = {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
    }
    names |= (
        {each.arg for each in ast.walk(start.args) if isinstance(each, ast.arg)} if start else set()
    )
    names |= {ast.unparse(each.target) for each in fields}
    out = ["", f"## {name}", "", "```python", shown]
    out += ["    " + field(each) for each in fields]
    out += ["```", *prose(ast.get_docstring(node), names)]
    for base in thing.__bases__:
        if base in sections:
            out += ["", f"Has every method of [{sections[base]}](#{sections[base].lower()}) too."]
    for each in public(node.body):
        out += function(each.name, each, 3, name)
    return out


def module(name: str, thing: types.ModuleType) -> list[str]:
    """Return the section of a module: its errors as a tree, its functions one by one."""
    own = [
        each
        for each in getattr(thing, "__all__", None) or sorted(vars(thing))
        if not each.startswith("_")
    ]
    members = {each: getattr(thing, each) for each in own}
    out = ["", f"## {name}", *prose(thing.__doc__)]
    errors = [
        each
        for each in members.values()
        if isinstance(each, type) and issubclass(each, BaseException)
    ]
    if errors:
        out += ["", *tree(errors)]
    for each, member in members.items():
        if isinstance(member, types.FunctionType) and member.__module__ == thing.__name__:
            node = source(member)
            assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            out += function(f"{name}.{each}", node, 3)
    return out


def tree(errors: list[type], base: type | None = None, depth: int = 0) -> list[str]:
    """Return exceptions as a nested list, each under its base."""
    out = []
    for each in sorted(
        (
            each
            for each in errors
            if next((b for b in each.__mro__[1:] if b in errors), None) is base
        ),
        key=lambda each: each.__name__,
    ):
        said = " ".join(inspect.cleandoc(each.__doc__ or "").split()).replace("<", "&lt;")
        out += ["  " * 2 * depth + f"- `{each.__name__}`: {said}", *tree(errors, each, depth + 1)]
    return out


def text() -> str:
    """Return the page."""
    os.environ["QUIPU_PURE"] = "1"  # source text, not what was compiled of it
    sys.path[:0] = [str(ROOT), str(ROOT / "host")]
    import quipu

    members = {name: getattr(quipu, name) for name in quipu.__all__}
    aliases: dict[str, str] = {}
    for name, each in members.items():
        if inspect.isfunction(each) and each.__name__ != name and each.__name__ in members:
            aliases[name] = each.__name__
    sections = {each: name for name, each in members.items() if isinstance(each, type)}
    functions, classes, modules = [], [], []
    for name, each in sorted(members.items(), key=lambda pair: pair[0].lower()):
        if name in aliases:
            functions += ["", f"## {name}", "", f"The same as [{aliases[name]}](#{aliases[name]})."]
        elif isinstance(each, type):
            classes += class_(name, each, sections)
        elif isinstance(each, types.ModuleType):
            modules += module(name, each)
        else:
            node = source(each)
            assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            functions += function(name, node, 2)
    contents = " · ".join(f"[{name}](#{name.lower()})" for name in sorted(members, key=str.lower))
    return BEGINNING + "\n" + contents + "\n" + "\n".join(functions + classes + modules) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Write docs/api.md from the docstrings of quipu.__all__."
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit code 1 if the page is not up to date",
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; default docs/api.md")
    options = parser.parse_args()
    wanted = text()
    if not options.check:
        options.page.write_text(wanted)
        return 0
    there = options.page.read_text() if options.page.exists() else ""
    changes = list(
        difflib.unified_diff(
            there.splitlines(),
            wanted.splitlines(),
            str(options.page),
            "the docstrings",
            lineterm="",
        )
    )
    if changes:
        print("\n".join(changes[:SHOWN]))
        print(f"{options.page} is not what the docstrings say: run `python tools/api.py`")
    return bool(changes)


if __name__ == "__main__":
    sys.exit(main())
