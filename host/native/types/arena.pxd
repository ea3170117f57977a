# Types of shared_kernel/arena.py for the compiled kernel. A slot, a word offset, a link: Py_ssize_t. An id: 64 bits signed, so
# that one out of range is "not found" as it is in Python. A word of the arena: 32 bits unsigned.

cimport cython


cdef class Arena:
    cdef public object config, bytes, before_write, cvs
    cdef public Py_ssize_t chunks, size
    cdef public unsigned int[::1] words, dirty
    cdef public unsigned char[::1] touched
    cdef public Pool records, nodes, edges, keys

    @cython.locals(chunk=Py_ssize_t, state=cython.int, dirty="unsigned int[::1]")
    cpdef touch(self, Py_ssize_t at)
    @cython.locals(i=Py_ssize_t)
    cpdef _all_dirty(self)


cdef class Pool:
    cdef public Arena arena
    cdef public unsigned int[::1] words
    cdef public object label, shape
    cdef public Py_ssize_t header, base, skip, stride, capacity, per, span

    cpdef Py_ssize_t at(self, Py_ssize_t slot)
    cpdef Py_ssize_t live(self)
    cpdef Py_ssize_t fresh(self)
    cpdef Py_ssize_t bucket(self, long long ident)
    @cython.locals(w="unsigned int[::1]", link=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t find(self, long long ident)
    @cython.locals(link=Py_ssize_t)
    cpdef Py_ssize_t need(self, long long ident)
    cpdef need_room(self)
    cpdef touch(self, Py_ssize_t at)
    @cython.locals(w="unsigned int[::1]", h=Py_ssize_t, link=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t take(self, unsigned int ident, Py_ssize_t bucket=*)
    @cython.locals(w="unsigned int[::1]", h=Py_ssize_t, at=Py_ssize_t, before=Py_ssize_t, i=Py_ssize_t)
    cpdef free(self, Py_ssize_t link, Py_ssize_t bucket)
