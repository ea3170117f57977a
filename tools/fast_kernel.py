"""Compiles all of shared_kernel for the explorer: the very same files through Cython, without types of their own for the store.

    python tools/fast_kernel.py      build/explore/shared_kernel/, unless it is there for exactly these sources

`use()` puts it in front of the sources, for this process; then classes and module attributes can still be patched, one by one.
Without Cython or a compiler the explorer runs the files as they are, which takes about three times as long.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "shared_kernel"
TYPES = ROOT / "host" / "native" / "types"
MODULES = ("arena", "config", "frames", "genesis", "kernel", "reader", "recovery", "region", "replay", "root", "run", "saver", "scan",
           "settle", "snapshot", "store", "unfinished")


def _digest():
    total = hashlib.sha256(sys.version.encode())
    for path in sorted([*SOURCES.glob("*.py"), *TYPES.glob("*.pxd"), Path(__file__)]):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:16]


def folder():
    return ROOT / "build" / "explore" / _digest()


def build():
    """Compile, if that is still to be done. Return the folder, or None where it cannot be."""
    out = folder()
    if (out / "done").exists():
        return out
    try:
        import Cython  # noqa: F401
    except ImportError:
        return None
    work = out.with_name("%s.%d" % (out.name, os.getpid()))
    package = work / "shared_kernel"
    package.mkdir(parents=True)
    sys.path.insert(0, str(ROOT / "host" / "native"))
    import fold

    names = sorted(MODULES)
    for path in SOURCES.glob("*.py"):
        text = fold.fold(path) if path.stem in names else path.read_text()
        # Cython 3 takes the two tuples for C types that differ
        (package / path.name).write_text(text.replace("(0, 1) if b is None else (0,)", "tuple([0, 1] if b is None else [0])"))
    for path in TYPES.glob("*.pxd"):
        if path.stem in names:
            shutil.copy(path, package)
    (work / "setup.py").write_text(
        "from setuptools import Extension, setup\n"
        "from Cython.Build import cythonize\n"
        "FLAGS = ['-O1', '-g0', '-fno-strict-aliasing']\n"
        "each = [Extension('shared_kernel.' + n, ['shared_kernel/' + n + '.py'], extra_compile_args=FLAGS)\n"
        "        for n in %r]\n"
        "setup(name='explore', packages=[], ext_modules=cythonize(each, include_path=['.'], quiet=True,\n"
        "    exclude_failures=True, compiler_directives={\n"
        "    'language_level': 3, 'boundscheck': True, 'wraparound': True, 'annotation_typing': False,\n"
        "    'binding': True, 'infer_types': False}))\n" % names)
    done = subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j", "2"], cwd=work, capture_output=True, text=True)
    if done.returncode:
        print("the kernel is not compiled for the explorer: %s" % done.stderr, file=sys.stderr)
        shutil.rmtree(work)
        return None
    for path in package.iterdir():
        if path.suffix in (".c", ".pxd"):
            path.unlink()
    (work / "done").write_text("")
    try:
        work.rename(out)
    except OSError:  # another process was as fast
        shutil.rmtree(work)
    return out


def use():
    """Put the compiled kernel in front of the sources; return whether that could be done."""
    found = build()
    if found is None or any(each.startswith("shared_kernel.") for each in sys.modules):
        return False
    import shared_kernel

    shared_kernel.__path__.insert(0, str(found / "shared_kernel"))
    return True


if __name__ == "__main__":
    print(build())
