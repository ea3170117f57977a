"""Builds the compiled kernel, which may be missing, and puts what boards get into wheels and sdists
(host/wheel/payload.py).

The kernel is shared_kernel's own files through Cython, and host/native/fast.c. What cannot be
compiled here (no compiler, no Cython) is left out with a warning, and Quipu runs the pure files.
Everything lands in quipu/compiled/, never beside the sources: quipu/kernels.py puts it in front of
them only if they are the ones that it was compiled from. QUIPU_PURE_WHEEL=1 compiles none of it:
that wheel installs on every platform. QUIPU_COMPILED=FOLDER: what an earlier build left there is
taken as it is, if it was made of the same sources by the same Cython for the same Python.
"""

import hashlib
import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
for folder in ("native", "wheel"):
    sys.path.insert(0, str(ROOT / "host" / folder))
import fold  # noqa: E402
import payload  # noqa: E402

MODULES = ("arena", "kernel", "root", "frames", "replay", "batch", "nearest")
STAGE = ROOT / "build" / "kernel"  # sources with their constants folded, and the types beside them
FLAGS = [] if sys.platform == "win32" else ["-O3", "-g0", "-fno-strict-aliasing"]


def extensions():
    """Return what is to be compiled here. The kernel's .c files are yet to be written: `to_c` does
    it once, when they are compiled, for setup() runs several times for one wheel."""
    if os.environ.get("QUIPU_PURE_WHEEL", "") not in ("", "0"):
        return []
    kernel = [
        Extension(
            f"shared_kernel.{name}",
            [str((STAGE / "shared_kernel" / f"{name}.c").relative_to(ROOT))],
            extra_compile_args=FLAGS,
            optional=True,
        )
        for name in MODULES
    ]
    fast = Extension(
        "quipu.compiled.fast", ["host/native/fast.c"], extra_compile_args=FLAGS, optional=True
    )
    # the arena's words are typed as they lie in memory
    return [fast, *(kernel if sys.byteorder == "little" else [])]


def to_c():
    """Write the kernel's .c files; False without Cython."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("Cython is missing: the kernel is not compiled, its pure files run", file=sys.stderr)
        return False
    package = STAGE / "shared_kernel"
    shutil.rmtree(STAGE, ignore_errors=True)
    package.mkdir(parents=True)
    for path in (ROOT / "shared_kernel").glob("*.py"):
        (package / path.name).write_text(fold.fold(path))
    for path in (ROOT / "host" / "native" / "types").glob("*.pxd"):
        shutil.copy(path, package)
    # Indices are checked: what a log says must never reach beyond an arena.
    cythonize(
        [
            Extension(f"shared_kernel.{name}", [str((package / f"{name}.py").relative_to(ROOT))])
            for name in MODULES
        ],
        include_path=[str(STAGE)],
        compiler_directives={
            "language_level": 3,
            "boundscheck": True,
            "wraparound": True,
            "cdivision": False,
            "annotation_typing": False,
            "binding": True,
        },
        quiet=True,
    )
    return True


def made_of():
    """Return a hash of all that decides what the compiled modules are, but for the C compiler."""
    try:
        from Cython import __version__ as cython
    except ImportError:
        cython = "none"
    total = hashlib.sha256(f"{cython} {sysconfig.get_config_var('EXT_SUFFIX')}\n".encode())
    native = (path for path in (ROOT / "host" / "native").rglob("*") if path.suffix != ".pyc")
    for path in sorted([ROOT / "setup.py", *(ROOT / "shared_kernel").glob("*.py"), *native]):
        if path.is_file():
            content = path.read_bytes()
            total.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return total.hexdigest()


class Files(build_py):
    """Puts into a wheel what boards get. An editable install takes it from the checkout."""

    def run(self):
        if not self.editable_mode:
            # a module that is gone must not be in the next wheel
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            payload.for_wheel(Path(self.build_lib) / "quipu" / "data")


class Archive(sdist):
    """Puts into an sdist what only a compiler for boards can make, so that a wheel made from it
    needs none."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        payload.for_sdist(Path(base_dir) / "host" / "quipu" / "data")


class Extensions(build_ext):
    """Puts shared_kernel's compiled modules into quipu/compiled/shared_kernel, with the hash of
    what they came from."""

    def get_ext_filename(self, fullname):
        name = super().get_ext_filename(fullname)
        return str(Path("quipu/compiled") / name) if fullname.startswith("shared_kernel.") else name

    def get_ext_fullpath(self, name):
        if self.inplace:
            return str(ROOT / "host" / self.get_ext_filename(name))
        return str(Path(self.build_lib) / self.get_ext_filename(name))

    def copy_extensions_to_source(self):
        for each in self.extensions:
            built, wanted = (
                Path(self.build_lib) / self.get_ext_filename(each.name),
                Path(self.get_ext_fullpath(each.name)),
            )
            if built.is_file():
                wanted.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(built), str(wanted))

    def run(self):
        folder = (ROOT / "host" if self.inplace else Path(self.build_lib)) / "quipu" / "compiled"
        ready = Path(os.environ.get("QUIPU_COMPILED") or folder)
        made = made_of() if self.extensions else ""
        if ready != folder and _says(ready / "sources.json").get("made_of") == made:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(ready, folder, ignore=shutil.ignore_patterns("__pycache__"))
            return
        shutil.rmtree(folder, ignore_errors=True)
        if self.extensions and not to_c():
            self.extensions = [e for e in self.extensions if e.name == "quipu.compiled.fast"]
        super().run()
        if folder.is_dir():
            sources = {"shared_kernel": fold.digest(ROOT / "shared_kernel"), "made_of": made}
            (folder / "sources.json").write_text(json.dumps(sources) + "\n")


def _says(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": Extensions, "build_py": Files, "sdist": Archive},
    options={"build": {"build_base": "build/wheel"}, "build_ext": {"parallel": os.cpu_count()}},
)
