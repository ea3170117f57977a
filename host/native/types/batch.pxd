# Types of shared_kernel/batch.py for the compiled kernel.

cimport cython
from shared_kernel.frames cimport length_at
from shared_kernel.replay cimport Replay


@cython.locals(size=Py_ssize_t, after=Py_ssize_t, last=Py_ssize_t)
cpdef run(Replay replay, const unsigned char[::1] data, Py_ssize_t at, long long until)

@cython.locals(size=Py_ssize_t, after=Py_ssize_t, passed="long long")
cpdef skip(const unsigned char[::1] data, Py_ssize_t at, long long count)
