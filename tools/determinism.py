"""The shared kernel must give the same bytes on every interpreter: this reads its syntax trees and
names what could not.

Run as `python tools/determinism.py [files or folders]` (by default all of shared_kernel/); prints
file:line: message for each finding and exits 1 if there is one, or if there was nothing to read. It
knows syntax only: what it cannot see, such as iteration over a dict that came in as an argument,
the conformance vectors must."""

import ast
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

# gc.collect() changes no byte
IMPORTS = ("array", "micropython", "uctypes", "sys", "struct", "binascii", "gc")
DECORATORS = ("staticmethod", "property")
CALLS = {
    "float": "gives a float",
    "complex": "gives a float",
    "hash": "differs between interpreters and runs",
    "id": "is an address",
    "set": "has no order",
    "frozenset": "has no order",
    "open": "is no business of the kernel",
    "print": "is no business of the kernel",
    "input": "is no business of the kernel",
    "exec": "hides code from this check",
    "eval": "hides code from this check",
    "compile": "hides code from this check",
    "__import__": "hides code from this check",
}
# Fill, alignment, sign, #, width and an integer's or string's type: what MicroPython's str.format
# has, without floats.
FORMAT = re.compile(r"(.?[<>=^])?[-+ ]?#?0?[0-9]*[bcdosxX]?")
SYNTAX = {
    "Set": "a set has no order",
    "SetComp": "a set has no order",
    "Match": "MicroPython has no match statement",
    "NamedExpr": "an assignment inside an expression (:=)",
    "AsyncFunctionDef": "async",
    "AsyncFor": "async",
    "AsyncWith": "async",
    "Await": "async",
}


def findings(source: str) -> list[tuple[int, str]]:
    """Return [(line, message)] for one file's text, in the order of its lines."""
    tree = ast.parse(source)
    own = names_of_its_own(tree)
    dicts = dict_names(tree)
    inside_sorted: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "sorted"
        ):
            inside_sorted.update(id(each) for each in ast.walk(node))
    found = []
    for node in ast.walk(tree):
        for message in of_node(node, own, dicts, id(node) in inside_sorted):
            place: Any = node.iter if isinstance(node, ast.comprehension) else node
            found.append((place.lineno, message))
    return sorted(found)


def names_of_its_own(tree: ast.Module) -> set[str]:
    """Return the names that a module defines at its top, or imports from a sibling: these hide
    builtins of the same name."""
    own = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.level:
            own.update(each.asname or each.name for each in node.names)
    return own


def dict_names(tree: ast.Module) -> set[str]:
    """Return the names that are ever given a dict by a literal, a comprehension or dict()."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and is_dict(node.value):
            names.update(name_of(target) for target in node.targets)
    return names - {""}


def name_of(node: ast.AST) -> str:
    """Return the last name of `a` or `self.a`; "" for anything else."""
    return str(getattr(node, "id", getattr(node, "attr", "")))


def is_dict(node: ast.AST) -> bool:
    return isinstance(node, (ast.Dict, ast.DictComp)) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"
    )


def of_node(node: Any, own: set[str], dicts: set[str], in_sorted: bool) -> Iterator[str]:
    """Yield a message for each thing that is wrong with one node of the tree."""
    kind = type(node).__name__
    if kind in SYNTAX:
        yield SYNTAX[kind]
    if kind == "Constant" and isinstance(node.value, (float, complex)):
        yield "float literal %r" % node.value
    if kind in ("BinOp", "AugAssign") and isinstance(node.op, ast.Div):
        yield "/ gives a float: use // or a shift"
    if kind == "Import":
        for each in node.names:
            if each.name not in IMPORTS:
                yield "import of %s" % each.name
    if kind == "ImportFrom" and not node.level and node.module not in IMPORTS:
        yield "import of %s" % node.module
    if (
        kind == "Call"
        and isinstance(node.func, ast.Name)
        and node.func.id in CALLS
        and node.func.id not in own
    ):
        yield "%s() %s" % (node.func.id, CALLS[node.func.id])
    if (
        kind == "Call"
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items", "values")
    ):
        if not node.args and not in_sorted:
            yield (
                ".%s() outside sorted(): a dict's order is not the same everywhere" % node.func.attr
            )
    if kind in ("For", "comprehension"):
        if is_dict(node.iter) or name_of(node.iter) in dicts:
            yield "iteration over a dict outside sorted(): its order is not the same everywhere"
    if kind == "FormattedValue":
        yield from of_format(node)
    if kind in ("FunctionDef", "ClassDef"):
        for each in node.decorator_list:
            if not (isinstance(each, ast.Name) and each.id in DECORATORS):
                yield "decorator @%s" % ast.unparse(each)


def of_format(node: Any) -> Iterator[str]:
    if node.conversion == ord("a"):
        yield "f-string conversion !a, which MicroPython lacks"
    if node.format_spec is not None:
        parts = node.format_spec.values
        if not all(isinstance(each, ast.Constant) for each in parts):
            yield "nested f-string format, which MicroPython lacks"
        elif not FORMAT.fullmatch("".join(each.value for each in parts)):
            yield "f-string format %r, which MicroPython lacks or which is a float's" % "".join(
                each.value for each in parts
            )


def main(paths: list[str]) -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    files: list[pathlib.Path] = []
    for path in [pathlib.Path(each) for each in paths] or [root / "shared_kernel"]:
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    count = 0
    for file in files:
        for line, message in findings(file.read_text()):
            print("%s:%d: %s" % (file, line, message))
            count += 1
    if not files:
        print("determinism: no files to read in %s" % " ".join(paths))
    print("determinism: %d files, %d findings" % (len(files), count))
    return 1 if count or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
