"""Folds constants into the kernel's sources before they are compiled, as mpy-cross does for a
board. Imports only the standard
library: setup.py runs it before anything is installed.
"""

import ast
import hashlib
from pathlib import Path


def digest(folder: Path) -> str:
    """Return the hash of a folder's .py files, names included: what a compiled kernel is compared
    with."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        total.update(f"{path.name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def constants(path: Path) -> dict[str, int]:
    """Return the names that a file gives a `const(number)`, and those that it imports from a
    sibling that does."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func) == "const"
        ):
            found[ast.unparse(node.targets[0])] = ast.literal_eval(node.value.args[0])
        elif (
            isinstance(node, ast.ImportFrom)
            and node.level == 1
            and node.module not in (None, "const")
        ):
            there = constants(path.with_name(node.module + ".py"))
            found.update(
                {
                    each.asname or each.name: there[each.name]
                    for each in node.names
                    if each.name in there
                }
            )
    return found


def fold(path: Path) -> str:
    """Return a file's text with each use of a constant replaced by its number. The names stay
    defined, for others to import; lines stay where they are."""
    text = path.read_text()
    known = constants(path)
    # the tree counts columns in bytes
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    uses = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known
    ]
    for node in sorted(uses, key=lambda each: (each.lineno, each.col_offset), reverse=True):
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = (
            line[: node.col_offset] + str(known[node.id]).encode() + line[node.end_col_offset :]
        )
    return b"".join(lines).decode()
