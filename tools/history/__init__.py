"""Histories of power cuts and failures, explored with the real store: see tools/explore.py. Makes
that store fast, changes nothing else.

Loaded before anything of shared_kernel (by tools/explore.py on its own, not by pytest), it puts
functions in front that give the same sooner. What saves most is memo.py.
"""

import struct
import sys
import zlib

_ALONE = "shared_kernel" not in sys.modules
if _ALONE:
    # CPython has none, and looks for it in every folder each time
    sys.modules.setdefault("uctypes", None)

from blake3 import blake3  # noqa: E402
from quipu.providers import Fast as _Fast  # noqa: E402

from shared_kernel import kernel  # noqa: E402

_U32 = struct.Struct("<I").unpack_from


def _u32(data, at):
    return _U32(data, at)[0]


if _ALONE:
    kernel.u32 = _u32  # before the others take it: three times as fast

from shared_kernel import region  # noqa: E402


class Fast(_Fast):
    crc32 = staticmethod(zlib.crc32)

    @staticmethod
    def hash(data):
        return blake3(data).digest()


_decoded, _whole = {}, {}


def _is_whole(data, is_whole=region.is_whole):
    """run.is_whole, likewise."""
    data = bytes(data)
    if data not in _whole:
        if len(_whole) > 100000:
            _whole.clear()
        _whole[data] = is_whole(data)
    return _whole[data]


def _decode(data, decode=region.decode):
    """run.decode, which gives the same for the same bytes."""
    data = bytes(data)
    if data not in _decoded:
        if len(_decoded) > 100000:
            _decoded.clear()
        _decoded[data] = decode(data)
    return _decoded[data]


if _ALONE:
    region.decode, region.is_whole = _decode, _is_whole
