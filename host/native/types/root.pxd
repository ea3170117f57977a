# Types of shared_kernel/root.py for the compiled kernel.

cimport cython
from shared_kernel.arena cimport Arena


cdef class RootTree:
    cdef public Arena arena
    cdef public object cvs, root

    @cython.locals(arena=Arena, dirty="unsigned int[::1]", count=Py_ssize_t, i=Py_ssize_t, n=Py_ssize_t, total=Py_ssize_t)
    cpdef value(self)
    @cython.locals(n=Py_ssize_t, i=Py_ssize_t, at=Py_ssize_t, above=Py_ssize_t, parent=Py_ssize_t, left=Py_ssize_t)
    cpdef _climb(self, changed)
