"""The compiled kernel runs only if it was compiled from the very files that stand there, and gives
the very same answers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host.sample import sample
from tests.quick import long

ROOT = Path(__file__).resolve().parents[2]
COMPILED = ROOT / "host" / "quipu" / "compiled"


def run(code, host=ROOT / "host", kernel=ROOT, **environment):
    """Run code in a process of its own, in which nothing is said about the kernel but what
    `environment` says."""
    env = {each: value for each, value in os.environ.items() if each != "QUIPU_PURE"}
    env["PYTHONPATH"] = os.pathsep.join([str(host), str(kernel), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**env, **environment},
        timeout=120,
        cwd=host,
    )  # -c looks for modules there first
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


TELL = "import json, quipu; print(json.dumps([quipu.kernels.kind, quipu.kernels.why]))"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Quipu and shared_kernel in a folder, with a kernel compiled from that shared_kernel; (folder
    of quipu, its parent)."""
    if subprocess.run([sys.executable, "-c", "import Cython"], capture_output=True).returncode:
        pytest.skip("the kernel cannot be compiled here: Cython is not installed")
    folder = tmp_path_factory.mktemp("compiled")
    for each in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / each, folder)
    skip = shutil.ignore_patterns("__pycache__", "compiled", "*.egg-info")
    for each in ("host", "shared_kernel"):
        shutil.copytree(ROOT / each, folder / each, ignore=skip)
    # it takes minutes, and `make test` has just done it
    if json.loads(run(TELL)) == ["compiled", ""]:
        shutil.copytree(COMPILED, folder / "host" / "quipu" / "compiled")
        return folder / "host", folder
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "host", folder


def test_one_variable_forces_the_pure_files():
    assert json.loads(run(TELL, QUIPU_PURE="1")) == ["pure", "QUIPU_PURE is set"]


def test_without_anything_compiled_the_pure_files_run(tmp_path):
    shutil.copytree(
        ROOT / "host" / "quipu",
        tmp_path / "quipu",
        ignore=shutil.ignore_patterns("__pycache__", "compiled"),
    )
    kind, why = json.loads(run(TELL, host=tmp_path))
    assert kind == "pure" and "nothing was compiled" in why


def test_a_kernel_of_other_sources_is_not_used(copy, tmp_path):
    host, kernel = copy
    assert json.loads(run(TELL, host, kernel)) == ["compiled", ""]
    shutil.copytree(kernel / "shared_kernel", tmp_path / "shared_kernel")
    with (tmp_path / "shared_kernel" / "arena.py").open("a") as file:
        file.write("\n")
    kind, why = json.loads(run(TELL, host, tmp_path))
    assert kind == "pure" and "changed since it was compiled" in why


def test_a_compiled_kernel_that_does_not_load_is_not_used(copy, tmp_path):
    host, kernel = copy
    shutil.copytree(host, tmp_path / "host")
    for each in (tmp_path / "host" / "quipu" / "compiled" / "shared_kernel").iterdir():
        each.write_bytes(b"no machine code")
    kind, why = json.loads(run(TELL, tmp_path / "host", kernel))
    assert kind == "pure" and "does not load" in why


def test_verdicts_of_both_kernels_are_equal_also_of_a_damaged_archive(copy, tmp_path):
    """Every byte of some frames of each kind is flipped (in a quick run, every third); the verdicts
    are compared whole."""
    step = long(1, 3)
    archive, _ = sample(tmp_path / "a")
    code = """
import json, quipu
from pathlib import Path
from shared_kernel import kernel
log = Path(%r)
whole = log.read_bytes()
print(kernel.__file__.rpartition(".")[2], quipu.kernels.kind)
for at in [None, *range(0, 900, %d), *range(len(whole) - 700, len(whole), %d)]:
    log.write_bytes(whole if at is None else whole[:at] + bytes([whole[at] ^ 1 << at %% 8]) + whole[at + 1:])
    print(json.dumps(quipu.verify(log.parents[1], jobs=1).as_dict()))
log.write_bytes(whole)
""" % (str(archive.path / "frames" / "0000000000.log"), step, step)
    host, kernel = copy
    pure = run(code, host, kernel, QUIPU_PURE="1").split("\n")
    compiled = run(code, host, kernel).split("\n")
    assert pure[0] == "py pure" and compiled[0] != pure[0] and compiled[0].endswith("compiled")
    assert pure[1:] == compiled[1:] and len(pure) == 2 + 900 // step + -(-700 // step)
    assert (
        json.loads(pure[1])["verdict"] == "match" and json.loads(pure[2])["verdict"] == "mismatch"
    )


def test_the_vectors_on_the_compiled_kernel(copy):
    host, kernel = copy
    folder = ROOT / "tests" / "conformance"
    vectors = [str(each) for each in sorted((folder / "vectors").glob("*/*.txt"))]
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
import quipu
from runner import report
assert quipu.kernels.kind == "compiled"
report({vectors!r})
"""
    said = run(code, host, kernel)
    assert "differs" not in said and said.count("conformance agrees") == len(vectors) > 5


def test_the_provider_in_c_gives_the_bytes_of_the_reference(copy):
    """Every length of one chunk; unaligned places; differences up to those that leave 32 and 64
    bits, in every dimension."""
    host, kernel = copy
    run(
        """
import random
from array import array
from quipu import providers
from shared_kernel import blake3, distances
from blake3 import blake3 as package

fast = providers.native()
rng = random.Random(5)
data = rng.randbytes(4100)
for size in [*range(1026), 2048, 4100]:
    assert fast.hash(data[:size]) == package(data[:size]).digest(), size
for at, counter in ((0, 0), (1, 1), (37, 2**20), (3076, 2**32 - 1)):
    ours, its = bytearray(70), bytearray(70)
    fast.chunk_cv(data, at, counter, ours, 5), blake3.chunk_cv(data, at, counter, its, 5)
    assert ours == its != bytearray(70)
for left, right, to, root in ((0, 32, 64, 0), (1, 99, 3, 1), (64, 32, 64, 0)):
    ours, its = bytearray(data[:200]), bytearray(data[:200])
    fast.parent_cv(ours, left, right, ours, to, root), blake3.parent_cv(its, left, right, its, to, root)
    assert ours == its != data[:200]
CLEAN, DIRTY, UNSAVED = 0, 1, 2
for chunks in (2, 3, 4, 5, 7, 8, 9, 17, 64, 100):
    size, n = 32, chunks
    while n > 1:
        size, n = size + 32 * n, (n + 1) // 2
    arena, cvs = bytearray(rng.randbytes(1024 * chunks)), bytearray(size)
    for count in (chunks, *range(min(chunks, 12))):
        changed = rng.sample(range(chunks), count)
        dirty, touched = array("I", [*changed, *[0] * (chunks - count)]), bytearray(chunks)
        for each in changed:
            arena[1024 * each + rng.randrange(1024)] ^= 1 + rng.randrange(255)
            touched[each] = DIRTY
        touched[0] = UNSAVED
        assert fast.climb(arena, cvs, chunks, dirty, count, touched) == package(arena).digest() == cvs[-32:], (chunks, count)
        assert bytes(touched) == bytes([UNSAVED] + [CLEAN] * (chunks - 1)) and dirty[:count].tolist() == sorted(changed)
saturated = 0
for dim in (1, 2, 3, 7, 8, 9, 16, 24, 64, 100):
    for size in (1, 2**15, 2**24, 2**28, 2**29, 2**30, 2**31 - 1):
        words = array("I", [rng.choice((rng.randint(-size, size), size, -size)) & 0xFFFFFFFF for _ in range(5 * dim + 40)])
        query = array("I", [rng.choice((size, -size, 0)) & 0xFFFFFFFF for _ in range(dim)])
        ours, its = array("I", bytes(40)), array("I", bytes(40))
        fast.distances(words, 3, dim + 2, dim, 5, query, ours), distances.distances(words, 3, dim + 2, dim, 5, query, its)
        assert ours == its, (dim, size)
        saturated += its[1] == 0x7FFFFFFF
assert saturated
from shared_kernel import primitives, search
from shared_kernel.frames import insert
from shared_kernel.kernel import DELETE, INSERT, Kernel
for dim, meta in ((16, 16), (3, 0), (8, 1), (260, 9)):
    kernel = Kernel((dim, 90, 0, 0, 0, meta, 0))
    for seq in range(1, 81):
        payload = insert([rng.choice((0, 1, -1, 2**31 - 1, -2**31, rng.randint(-9, 9))) for _ in range(dim)], seq % 3)
        kernel.apply(INSERT, payload, 0, len(payload), seq)
    for seq in range(5, 80, 7):
        kernel.apply(DELETE, seq.to_bytes(4, "little"), 0, 4, 100 + seq)
    for k in (1, 5, 68, 500):
        for tag in (None, 0, 2, 9):
            query = [rng.randint(-9, 9) for _ in range(dim)]
            primitives.use(fast)
            ours = search.search(kernel, query, k, tag)
            primitives.use(None)
            its = search.search(kernel, query, k, tag)
            assert ours == its and len(ours) == min(k, 69 if tag is None else len(its)), (dim, k, tag)
for call in (lambda: fast.chunk_cv(data, 3077, 0, bytearray(32), 0), lambda: fast.copy(bytearray(4), 2, data, 0, 3),
             lambda: fast.copy(bytearray(4), -1, data, 0, 3), lambda: fast.parent_cv(data, 0, 4070, bytearray(32), 0, 0),
             lambda: fast.distances(words, 0, 10**6, 16, 5, query, ours),
             lambda: fast.climb(bytes(2047), bytearray(96), 2, array("I", [0, 1]), 2, bytearray(2)),
             lambda: fast.climb(bytes(2048), bytearray(95), 2, array("I", [0, 1]), 2, bytearray(2)),
             lambda: fast.climb(bytes(2048), bytearray(96), 2, array("I", [2]), 1, bytearray(2)),
             lambda: fast.climb(bytes(2048), bytearray(96), 2, array("I", [0]), 2, bytearray(2)),
             lambda: fast.climb(bytes(2048), bytearray(96), 2, array("I", [0, 1]), 2, bytearray(1)),
             lambda: fast.climb(bytes(2048), bytearray(96), 2, array("I", [0, 1]), -1, bytearray(2)),
             lambda: fast.climb(bytes(1024), bytearray(32), 1, array("I", [0]), 1, bytearray(1))):
    try:
        call()
    except IndexError:
        continue
    raise AssertionError("it went beyond a buffer")
""",
        host,
        kernel,
    )


def test_code_in_c_for_another_seam_is_not_used(copy):
    host, kernel = copy
    assert run(
        """
from quipu import providers
from quipu.compiled import fast
print(providers.native().name)
fast.seam += 1
print(providers.native())
del fast.seam
print(providers.native())
""",
        host,
        kernel,
    ).split() == ["C", "None", "None"]
