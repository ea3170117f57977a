"""The check of imports (tools/imports.py) sees every way to make a circle or to leave a layer, and
this checkout has none."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import imports

ROOT = Path(imports.__file__).parents[1]


@pytest.fixture
def checkout(tmp_path):
    """Return a function that writes files, by their paths, beside a few sound ones, and returns
    what the check finds."""

    def write(files):
        sound = {
            "host/quipu/__init__.py": "from quipu.low.a import A\n",
            "host/quipu/low/__init__.py": '"""Low."""\n',
            "host/quipu/low/a.py": "from shared_kernel import frames\nA = 1\n",
            "host/quipu/low/b.py": "from quipu.low import a\n",
            "host/quipu/high/__init__.py": "",
            "host/quipu/high/c.py": "import quipu\nfrom quipu.low.b import a\n",
            "firmware/quipu/__init__.py": "from quipu.memory import Memory\n",
            "firmware/quipu/memory.py": "class Memory: pass\n",
            "shared_kernel/__init__.py": "",
            "shared_kernel/frames.py": "import sys\n",
        }
        for name, text in {**sound, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(imports.findings(tmp_path))

    return write


def test_sound_layers_have_no_finding(checkout):
    assert checkout({}) == []


@pytest.mark.parametrize(
    "line",
    [
        "from quipu.low.b import a",
        "from quipu.low import b",
        "import quipu.low.b",
        "from . import b",
        "from .b import a",
        "def f():\n    from quipu.low import b",
        "if TYPE_CHECKING:\n    import quipu.low.b as b",
        "import_module('quipu.low.b')",
    ],
)
def test_a_circle_is_found_however_it_is_closed(checkout, line):
    (found,) = checkout({"host/quipu/low/a.py": line + "\nA = 1\n"})
    assert found.startswith("circle: quipu.low.a (line ") and found.endswith(
        " -> quipu.low.b (line 1) -> quipu.low.a"
    )


def test_a_long_circle_is_told_whole(checkout):
    found = checkout(
        {f"host/quipu/low/x{i}.py": f"from quipu.low import x{(i + 1) % 5}\n" for i in range(5)}
    )
    assert found == [
        "circle: " + "".join(f"quipu.low.x{i} (line 1) -> " for i in range(5)) + "quipu.low.x0"
    ]


def test_a_room_that_reaches_up_is_found_without_a_circle_of_modules(checkout):
    assert checkout(
        {
            "host/quipu/low/a.py": "from quipu.high import d\nA = 1\n",
            "host/quipu/high/d.py": "",
            "host/quipu/high/c.py": "from quipu.low.b import a\n",
        }
    ) == ["circle of rooms: quipu.high -> quipu.low -> quipu.high"]


def test_a_module_below_that_takes_names_of_the_front_is_found(checkout):
    (found,) = [
        each
        for each in checkout(
            {
                "host/quipu/low/b.py": "from quipu import A\n",
                "host/quipu/low/a.py": "import quipu.low.b\n",
            }
        )
        if each.startswith("circle: ")
    ]
    assert (
        found == "circle: quipu (line 1) -> quipu.low.a (line 1) -> quipu.low.b (line 1) -> quipu"
    )


@pytest.mark.parametrize(
    "file, line, finding",
    [
        (
            "firmware/quipu/memory.py",
            "from quipu.low import a",
            "firmware/ imports quipu.low, which is not there",
        ),
        (
            "firmware/quipu/memory.py",
            "def f():\n    from quipu import low",
            "firmware/ imports low of quipu, which is not there",
        ),
        ("firmware/quipu/memory.py", "import host.quipu", "firmware/ imports host.quipu"),
        (
            "host/quipu/low/a.py",
            "from quipu.memory import Memory",
            "host/ imports quipu.memory, which is not there",
        ),
        ("host/quipu/low/a.py", "import firmware", "host/ imports firmware"),
        ("host/quipu/low/a.py", "from tests import world", "host/ imports tests"),
        ("shared_kernel/frames.py", "from quipu import low", "shared_kernel/ imports quipu"),
        ("shared_kernel/frames.py", "def f():\n    import quipu", "shared_kernel/ imports quipu"),
        ("shared_kernel/frames.py", "from tools import imports", "shared_kernel/ imports tools"),
    ],
)
def test_an_import_across_layers_is_found(checkout, file, line, finding):
    found = checkout({file: line + "\nA = 1\nclass Memory: pass\n"})
    assert [each.split(": ", 1)[1] for each in found if each.startswith(file)] == [finding]


def test_nothing_to_check_is_a_finding(tmp_path):
    assert "nothing was checked" in next(imports.findings(tmp_path))
    assert imports.main([str(tmp_path)]) == 1


def test_this_checkout_has_none():
    done = subprocess.run(
        [sys.executable, imports.__file__], capture_output=True, text=True, cwd="/"
    )
    files = (ROOT / "host" / "quipu").rglob("*.py")
    count = sum(each.parent.name != "snippets" for each in files)
    assert (done.returncode, done.stderr) == (
        0,
        "",
    ) and done.stdout == f"imports: {count} modules in host/, 0 findings\n"
