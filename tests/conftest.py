"""For every test: the shared kernel as Python reads it (tests break its lines), with fast hashes. What these lack falls back to
the plain-Python reference. tests/host/test_kernels.py runs the compiled kernel, in processes of its own."""

import os
import zlib

import blake3
from hypothesis import HealthCheck, settings

from shared_kernel import primitives

os.environ["QUIPU_PURE"] = "1"


class Fast:
    name = "test"
    whole = True  # the blake3 package has no interface to single chunks
    crc32 = staticmethod(zlib.crc32)

    @staticmethod
    def hash(data):
        return blake3.blake3(data).digest()


primitives.use(Fast)

# How long one example takes says how busy the machine is, not what is promised.
settings.register_profile("quipu", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quipu")
