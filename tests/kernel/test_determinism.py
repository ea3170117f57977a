"""Each rule of the determinism check fires on a snippet that breaks it, keeps quiet beside it, and
the kernel is clean."""

import pathlib
import subprocess
import sys

import pytest

from tools import determinism

ROOT = pathlib.Path(determinism.__file__).parent.parent

BAD = (  # a snippet that must be found, at its last line, and a word of the message
    ("x = 1.5", "float literal"),
    ("x = 1e3", "float literal"),
    ("x = 2j", "float literal"),
    ("f(-0.0)", "float literal"),
    ("x = a / b", "/ gives"),
    ("x /= 2", "/ gives"),
    ("return_value = (1 + 2) / 3", "/ gives"),
    ("x = float(y)", "float()"),
    ("x = complex(y)", "complex()"),
    ("def f(kind=float('1')): pass", "float()"),
    ("import time", "import of time"),
    ("import random", "import of random"),
    ("import os", "import of os"),
    ("import threading", "import of threading"),
    ("import socket", "import of socket"),
    ("import struct, time", "import of time"),
    ("import os.path", "import of os.path"),
    ("from time import ticks_ms", "import of time"),
    ("from os import urandom", "import of os"),
    ("from dataclasses import dataclass", "import of dataclasses"),
    ("from enum import Enum", "import of enum"),
    ("from typing import List", "import of typing"),
    ("def f():\n    import math", "import of math"),
    ("import quipu", "import of quipu"),
    ("import shared_kernel.arena", "import of shared_kernel"),
    ("from __future__ import annotations", "import of __future__"),
    ("x = hash(b'')", "hash()"),
    ("x = id(y)", "id()"),
    ("x = set()", "set()"),
    ("x = frozenset(y)", "frozenset()"),
    ("class A:\n    def hash(self):\n        return hash(self)", "hash()"),
    ("for x in set(y): pass", "set()"),
    ("x = {1, 2}", "a set"),
    ("x = {y for y in z}", "a set"),
    ("if x in {1, 2}: pass", "a set"),
    ("for x in {1: 2}: pass", "iteration over a dict"),
    ("for x in {y: y for y in z}: pass", "iteration over a dict"),
    ("x = [y for y in {1: 2}]", "iteration over a dict"),
    ("for x in dict(a=1): pass", "iteration over a dict"),
    ("D = {1: 2}\nfor x in D: pass", "iteration over a dict"),
    ("self.d = {}\nx = [y for y in self.d]", "iteration over a dict"),
    ("for x in d.keys(): pass", ".keys()"),
    ("for x, y in d.items(): pass", ".items()"),
    ("for x in d.values(): pass", ".values()"),
    ("x = list(d.keys())", ".keys()"),
    ("x = [y for y in d.items()]", ".items()"),
    ("x = enumerate(d.values())", ".values()"),
    ("x = f'{y:,}'", "f-string format"),
    ("x = f'{y:_}'", "f-string format"),
    ("x = f'{y:.3f}'", "f-string format"),
    ("x = f'{y:%}'", "f-string format"),
    ("x = f'{y:n}'", "f-string format"),
    ("x = f'{y:{z}}'", "nested f-string"),
    ("x = f'{y!a}'", "!a"),
    ("match x:\n  case 1: pass", "match"),
    ("if (x := 1): pass", ":="),
    ("async def f(): pass", "async"),
    ("async def f():\n  await g()", "async"),
    ("@cache\ndef f(): pass", "@cache"),
    ("@functools.lru_cache(maxsize=1)\ndef f(): pass", "@functools"),
    ("@dataclass\nclass A: pass", "@dataclass"),
    ("@micropython.viper\ndef f(): pass", "@micropython.viper"),
    ("x = open('f')", "open()"),
    ("print(1)", "print()"),
    ("x = input()", "input()"),
    ("exec('x')", "exec()"),
    ("x = eval('1.5')", "eval()"),
    ("x = __import__('time')", "__import__()"),
)

GOOD = (
    "x = 15 // 10",
    "x //= 2",
    "x = '1.5 / 2'",
    "'''a float 1.5 / 2, hash(x)'''",
    "# 1.5 / 2\nx = 1",
    "import struct, sys, array",
    "from micropython import const",
    "import uctypes\nimport binascii",
    "from . import primitives",
    "from .arena import CHUNK",
    "from ..other import thing",
    "x = primitives.hash(b'')",
    "x = self.id(3)",
    "def hash(data):\n    return hash(data)",
    "from .blake3 import hash\nx = hash(b'')",
    "from .blake3 import tree as hash\nx = hash(b'')",
    "ident = 3\nid = 4",
    "for x in sorted({1: 2}): pass",
    "D = {1: 2}\nfor x in sorted(D): pass",
    "D = {1: 2}\nx = D[1]",
    "for x in sorted(d.keys()): pass",
    "x = sorted(list(d.items()))",
    "x = {1: 2}.get(3)",
    "x = {y: y for y in (1, 2)}",
    "x = f'{y}{y!r}{y:5}{y:08x}{y:<3}{y:+d}{y:#x}{y:s}'",
    "x = '%d' % y",
    "@staticmethod\ndef f(): pass",
    "@property\ndef f(self): pass",
    "x.values(1)",
    "x.print()",
    "for x in (1, 2): pass",
    "d[0] = {}\nfor x in (1, 2): pass",
    "x = 1 if y in (1, 2) else 2",
)


def test_each_rule_fires_once_at_its_line():
    for snippet, word in BAD:
        found = determinism.findings(snippet)
        assert [line for line, message in found if word in message and line > 0], (snippet, found)


def test_the_line_of_a_finding_is_its_own():
    assert determinism.findings("x = 1\n\ny = x / 2\nz = 1.5\n") == [
        (3, "/ gives a float: use // or a shift"),
        (4, "float literal 1.5"),
    ]


def test_what_is_allowed_is_left_alone():
    for snippet in GOOD:
        assert determinism.findings(snippet) == [], snippet


def test_the_shared_kernel_is_clean():
    files = sorted((ROOT / "shared_kernel").rglob("*.py"))
    assert len(files) > 10
    assert [
        (file.name, found) for file in files for found in determinism.findings(file.read_text())
    ] == []


@pytest.mark.parametrize(
    "source, code, said",
    [
        ("x = 1\n", 0, "1 files, 0 findings"),
        ("x = 1\ny = x / 2\n", 1, "it.py:2: / gives"),
        (None, 1, "no files"),
    ],
)
def test_the_command_says_where_and_fails(tmp_path, source, code, said):
    if source:
        (tmp_path / "it.py").write_text(source)
    result = subprocess.run(
        [sys.executable, determinism.__file__, str(tmp_path)], capture_output=True, text=True
    )
    assert result.returncode == code and said in result.stdout, result
