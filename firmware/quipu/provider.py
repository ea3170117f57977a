"""Chooses what computes the hot loops: native code if it is there and right, else viper, else plain
Python. Forgotten after use."""

import sys
from array import array

from shared_kernel import primitives


def fault(native):
    """Return what is wrong with a native module, as text, or None. It is tried on a hash, a CRC, a
    distance and a run of frames."""
    # Names of the module would stay in memory for good; these do not.
    trial = bytes(range(256)) * 5  # more than a chunk, so that its hash has a parent
    right = (
        b"\x75\x86\xfa\x21\x24\x6e\x8e\x17\xb3\x84\xb8\xfe\x78\x94\x8d\x91"
        b"\x68\x80\xe5\xce\x4a\x80\xd0\x30\xf4\x55\x04\x95\x2a\x69\xe0\x50"
    )
    # A frame of 17 bytes, seq 7 and one byte of payload, padded to 20; its CRC starts from 1.
    frame = b"\x01\x84\x01\x00\x07\x00\x00\x00\x2c\x01\x00\x00\x01\xe2\x35\xd0\x02\xff\xff\xff"
    seam = getattr(native, "seam", None)
    if seam != primitives.SEAM:
        return "it is of version %s, the kernel needs %d" % (seam, primitives.SEAM)
    if native.hash(trial) != right:
        return "its hash is wrong"
    if native.crc32(trial, 1) != 0xA6CE4B4E:
        return "its CRC-32 is wrong"
    out = array("I", (0, 0))
    native.distances(array("I", (0x7FFFFFFF, 3)), 0, 2, 2, 1, array("I", (0xFFFFFFFF, 5)), out)
    if tuple(out) != (4, 0x40000000):
        return "its distance is wrong"
    # the second has no 8
    if native.scan(frame + frame, 0, 40, 4, 17, 7, 1) != 20 or native.scan(
        frame, 0, 20, 4, 17, 7, 0
    ):
        return "its scan of frames is wrong"
    return None


def choose():
    """Install the fastest provider that can be trusted; primitives.refused says why native code was
    not used."""
    try:
        import quipu_native

        refused = fault(quipu_native)
        if refused is None:
            primitives.use(quipu_native)
            return
    except ImportError:  # not there
        refused = None
    except Exception as e:  # for another architecture or version of .mpy; or it fails in the trial
        refused = "%s: %s" % (type(e).__name__, e)
    sys.modules.pop("quipu_native", None)
    primitives.refused = refused
    try:
        from . import viper

        if viper.usable():
            primitives.use(viper)
    except (ImportError, SyntaxError, ValueError):
        # no native code on this port: plain Python serves
        pass
