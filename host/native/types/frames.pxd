# Types of shared_kernel/frames.py for the compiled kernel.

from shared_kernel.kernel cimport u32


cpdef Py_ssize_t length_at(const unsigned char[::1] buffer, Py_ssize_t start)
