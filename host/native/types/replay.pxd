# Types of shared_kernel/replay.py for the compiled kernel.

cimport cython
from shared_kernel.frames cimport length_at
from shared_kernel.kernel cimport Kernel, u32


cdef class Replay:
    cdef public object new_kernel, genesis, name, seed, seq, head, boot, checkpoints
    cdef public Kernel kernel

    @cython.locals(end=Py_ssize_t, start=Py_ssize_t, whole=cython.bint, kind=cython.int, crc="unsigned int", kernel=Kernel)
    cpdef step_in(self, const unsigned char[::1] data, Py_ssize_t at, frame)
