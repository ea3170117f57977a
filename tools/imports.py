"""Checks who imports whom: no circle among the modules of host/, none between its rooms, and no
layer that reaches up or across.

    python tools/imports.py [FOLDER]    FOLDER: a checkout, by default this one

Reads syntax trees and runs nothing. An import inside a function counts, one for types alone, and a
string that is a module's whole name: whoever reads a file has to read what it names. Prints each
finding; exit code 1 if there is one."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

HOST = "quipu"
# Folder of a layer: the packages of ours that it may import. The firmware's package is called quipu
# as well, and lives on boards.
LAYERS = {
    "shared_kernel": {"shared_kernel"},
    "firmware": {"shared_kernel", HOST},
    "host": {"shared_kernel", HOST},
}
BUILT = "quipu.compiled"  # by setup.py, so there is no source
ON_BOARDS = "host/quipu/install/snippets"  # programs that run there: to them quipu is the firmware
OURS = {"shared_kernel", HOST, "firmware", "host", "boards", "bench", "tests", "tools"}

Edges = dict[str, dict[str, int]]  # a module: what it imports, and in which line


def modules(folder: Path, package: str) -> dict[str, Path]:
    """Return the modules of a package by their dotted names, without programs for boards; a
    folder's __init__.py has the folder's name."""
    out = {}
    for path in sorted(folder.rglob("*.py")):
        if path.parent.as_posix().endswith(ON_BOARDS):
            continue
        parts = (
            [package, *path.relative_to(folder).with_suffix("").parts]
            if package
            else path.relative_to(folder).with_suffix("").parts
        )
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return out


def imports(path: Path, name: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Yield (line, module, names taken from it) of each import in the file of the module `name`,
    wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield node.lineno, each.name, ()
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            above = (
                parts[: len(parts) - node.level + (path.name == "__init__.py")]
                if node.level
                else []
            )
            yield (
                node.lineno,
                ".".join(above + ([node.module] if node.module else [])),
                tuple(each.name for each in node.names),
            )


def named(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, string) of each string in a file: one of them may be a module that is imported
    by its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def graph(found: dict[str, Path]) -> Edges:
    """Return which modules each one imports. A package that is only on the way to its module does
    not count."""
    out: Edges = {}
    for name, path in found.items():
        edges: dict[str, int] = {}
        for line, module, names in imports(path, name):
            inside = [f"{module}.{each}" for each in names if f"{module}.{each}" in found]
            itself = [module] if module in found and (not names or len(inside) < len(names)) else []
            for target in inside + itself:
                edges.setdefault(target, line)
        for line, text in named(path):
            if text in found and "." in text:
                edges.setdefault(text, line)
        edges.pop(name, None)
        out[name] = edges
    return out


def rooms(edges: Edges) -> Edges:
    """Return the same between rooms: quipu.board for all of quipu.board.link; a module beside the
    rooms is a room of its own."""
    out: Edges = {}
    for name, targets in edges.items():
        here = _room(name)
        out.setdefault(here, {}).update(
            {_room(each): line for each, line in targets.items() if _room(each) != here}
        )
    return out


def _room(name: str) -> str:
    return ".".join(name.split(".")[:2])


def circles(edges: Edges) -> list[list[str]]:
    """Return for each group of names that all lead to each other the shortest way round it, from
    its first name back to that."""
    out: list[list[str]] = []
    done: set[str] = set()
    for start in sorted(edges):
        if start in done:
            continue
        before = _reached(edges, start)
        if start in before:
            way = [start]
            while before[way[-1]] != start:
                way.append(before[way[-1]])
            out.append([start, *way[:0:-1], start])
            done.update(each for each in before if start in _reached(edges, each))
    return out


def _reached(edges: Edges, start: str) -> dict[str, str]:
    """Return what a name leads to, nearest first, and the name before it on the way."""
    before: dict[str, str] = {}
    ahead = [start]
    for here in ahead:  # it grows meanwhile
        for there in edges.get(here, ()):
            if there not in before:
                before[there] = here
                ahead.append(there)
    return before


def across(root: Path) -> Iterator[str]:
    """Yield each import that leaves its layer for another one, which it may not know."""
    for layer, allowed in LAYERS.items():
        found = modules(root / layer, layer if layer in allowed else "")
        for name, path in found.items():
            for line, module, names in imports(path, name):
                where = f"{path.relative_to(root)}:{line}: {layer}/ imports"
                top = module.partition(".")[0]
                if top in OURS - allowed:
                    yield f"{where} {module}"
                elif top == HOST and module != BUILT:
                    # the packages of host/ and firmware/ share this name: is it in this one?
                    missing = [
                        each
                        for each in names
                        if f"{module}.{each}" not in found
                        and each not in _offered(found.get(module))
                    ]
                    if module not in found:
                        yield f"{where} {module}, which is not there"
                    elif missing:
                        yield f"{where} {', '.join(missing)} of {module}, which is not there"


def _offered(path: Path | None) -> set[str]:
    """Return the names that a module's file binds, or lists in __all__."""
    out = set()
    for each in ast.walk(ast.parse(path.read_text())) if path else ():
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)):
            out.add(each.name)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            out.add(each.id)
        elif isinstance(each, ast.alias):
            out.add((each.asname or each.name).partition(".")[0])
        elif isinstance(each, ast.Assign) and isinstance(each.value, (ast.List, ast.Tuple)):
            out.update(
                one.value
                for one in each.value.elts
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )
    return out


def findings(root: Path) -> Iterator[str]:
    """Yield what is wrong in a checkout, one line each."""
    found = modules(root / "host" / HOST, HOST)
    if not found:
        yield f"{root / 'host' / HOST}: no module there: nothing was checked"
    edges = graph(found)
    for way in circles(edges):
        yield (
            "circle: "
            + " -> ".join(
                f"{each} (line {edges[each][after]})" for each, after in zip(way, way[1:])
            )
            + f" -> {way[0]}"
        )
    for way in circles(rooms(edges)):
        yield "circle of rooms: " + " -> ".join(way)
    yield from across(root)


def main(arguments: list[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[1]
    count = len(modules(root / "host" / HOST, HOST))
    found = list(findings(root))
    for each in found:
        print(each)
    print(f"imports: {count} modules in host/, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
