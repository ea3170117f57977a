"""The fast hot loops of a laptop, for shared_kernel.primitives.use. Holds no state.

They give the bytes that shared_kernel's plain-Python references give, only sooner. `Fast` needs the
blake3 package alone; `Native` is there if host/native/fast.c was compiled when Quipu was installed.
"""

import zlib
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from shared_kernel import distances as reference
from shared_kernel import primitives

from . import kernels

if TYPE_CHECKING:
    from shared_kernel.types import Buffer, Words


class Fast:
    """Hashes of the blake3 package. It has no interface to single chunks, so with `whole` set
    nothing asks for them."""

    name = "blake3 and zlib"
    whole = True  # hashing a whole arena takes less than one chunk in Python

    @staticmethod
    def hash(data: "Buffer") -> bytes:
        return blake3(data).digest()

    @staticmethod
    def crc32(data: "Buffer", seed: int) -> int:
        return zlib.crc32(data, seed)

    @staticmethod
    def distances(
        words: "Words", first: int, stride: int, dim: int, count: int, query: "Words", out: "Words"
    ) -> None:
        """See shared_kernel/distances.py."""
        try:
            signed = memoryview(words).cast("B").cast("i")  # type: ignore[arg-type]  # TypeError of Words
            wanted = memoryview(query).cast("B").cast("i").tolist()  # type: ignore[arg-type]  # the same
        except TypeError:  # words on a big-endian machine, or a plain list
            reference.distances(words, first, stride, dim, count, query, out)
            return
        for j in range(count):
            at = first + j * stride
            total = 0
            for difference in map(int.__sub__, signed[at : at + dim].tolist(), wanted):
                total += difference * difference
            if total > reference.LIMIT:
                total = reference.LIMIT
            out[2 * j] = total & 0xFFFFFFFF
            out[2 * j + 1] = total >> 32


def native() -> Any:
    """Return the provider in C, or None where it was not compiled or is not wanted (QUIPU_PURE)."""
    if kernels.kind == "pure" and kernels.why == "QUIPU_PURE is set":
        return None
    try:
        from .compiled import fast  # type: ignore[import-not-found, attr-defined, unused-ignore]  # there only once it is compiled
    except ImportError:
        return None
    # compiled from another version's host/native/fast.c
    if getattr(fast, "seam", 0) != primitives.SEAM:
        return None

    class Native:
        """One chunk at a time in C, so the state root is kept by its changed chunks; whole arenas
        go to the package."""

        name = "C"
        whole = False
        hash, crc32 = staticmethod(fast.hash), staticmethod(zlib.crc32)
        chunk_cv, parent_cv, copy = (
            staticmethod(fast.chunk_cv),
            staticmethod(fast.parent_cv),
            staticmethod(fast.copy),
        )
        nearest, climb = staticmethod(fast.nearest), staticmethod(fast.climb)

        @staticmethod
        def distances(
            words: "Words",
            first: int,
            stride: int,
            dim: int,
            count: int,
            query: "Words",
            out: "Words",
        ) -> None:
            try:
                fast.distances(words, first, stride, dim, count, query, out)
            except TypeError:  # a plain list
                reference.distances(words, first, stride, dim, count, query, out)

    return Native


def install() -> None:
    """Make the kernel use the fastest there is from now on."""
    primitives.use(native() or Fast)
