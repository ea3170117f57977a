# Types of shared_kernel/kernel.py for the compiled kernel; what is not named here stays an object.

cimport cython
from shared_kernel.arena cimport Arena, Pool
from shared_kernel.root cimport RootTree


cpdef unsigned int u32(const unsigned char[::1] data, Py_ssize_t at)


cdef class Kernel:
    cdef public Arena arena
    cdef public unsigned int[::1] words
    cdef public RootTree tree
    cdef public Pool records, nodes, edges, keys
    cdef public Py_ssize_t dim, bare, meta_bytes, value_bytes

    @cython.locals(size=Py_ssize_t, dim=Py_ssize_t, which=cython.int, link=Py_ssize_t, refs=cython.uint, length=Py_ssize_t)
    cpdef check(self, int kind, const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end)
    cpdef _exactly(self, int kind, Py_ssize_t size, Py_ssize_t need)
    cpdef _at_least(self, int kind, Py_ssize_t size, Py_ssize_t need)
    cpdef _check_name(self, Py_ssize_t length, Py_ssize_t room)
    cpdef _check_prev(self, Py_ssize_t link, unsigned int prev)
    @cython.locals(arena=Arena, w="unsigned int[::1]", at=Py_ssize_t, which=cython.int, link=Py_ssize_t, length=Py_ssize_t,
                   ident="unsigned int")
    cpdef apply(self, int kind, data, Py_ssize_t start, Py_ssize_t end, unsigned int seq)
    @cython.locals(w="unsigned int[::1]", i=Py_ssize_t)
    cpdef _fill(self, Py_ssize_t at, Py_ssize_t room, data, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(at=Py_ssize_t)
    cpdef _refer(self, Py_ssize_t link, int change)
    @cython.locals(w="unsigned int[::1]", at=Py_ssize_t, link=Py_ssize_t, end=Py_ssize_t, node=Py_ssize_t, node_at=Py_ssize_t,
                   first=Py_ssize_t, first_at=Py_ssize_t)
    cpdef _create_edge(self, const unsigned char[::1] data, Py_ssize_t start, unsigned int seq)
    @cython.locals(w="unsigned int[::1]", edges=Pool, at=Py_ssize_t, end=Py_ssize_t, after=Py_ssize_t, before=Py_ssize_t,
                   after_at=Py_ssize_t, before_at=Py_ssize_t, node_at=Py_ssize_t)
    cpdef _delete_edge(self, Py_ssize_t link)
    @cython.locals(w="unsigned int[::1]", link=Py_ssize_t, at=Py_ssize_t, first=Py_ssize_t)
    cpdef _delete_node(self, unsigned int ident)
    @cython.locals(h="unsigned int", i=Py_ssize_t)
    cpdef Py_ssize_t _name_bucket(self, const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t length)
    @cython.locals(w="unsigned int[::1]", b="const unsigned char[::1]", link=Py_ssize_t, at=Py_ssize_t, name=Py_ssize_t,
                   i=Py_ssize_t)
    cpdef Py_ssize_t find_key(self, const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t length)
