/* The hot loops of shared_kernel/primitives.py for a laptop, in C: what each function does is said
 * there.
 *
 * It has no state and knows nothing of the kernel. It needs GCC or Clang (vector extensions,
 * __int128); without them the build leaves it out and quipu/providers.py goes on with what Python
 * has.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
/* One copy for each width of vector; the loader takes the widest that the machine has. */
#define EVERY_WIDTH __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_WIDTH
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory, so this is for little-endian machines only"
#endif

enum { SEAM = 1 }; /* what the functions mean; the kernel's is primitives.SEAM */

/* -- BLAKE3: the compression function of the paper (2.2), one row of the state a vector -------- */

typedef uint32_t row __attribute__((vector_size(16)));

enum { BLOCK = 64, CHUNK = 1024, CV = 32, CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 };

static const uint32_t IV[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                               0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

/* Paper, table 2, applied again for each round. */
static const uint8_t SCHEDULE[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define HALF_G(m, first, second) \
    a = a + b + (m); \
    d = ROTATE(d ^ a, first); \
    c = c + d; \
    b = ROTATE(b ^ c, second);
#define PICK(i, j, k, l) ((row){m[s[i]], m[s[j]], m[s[k]], m[s[l]]})

EVERY_WIDTH
static void compress(uint32_t cv[8], const uint8_t *block, uint64_t counter, uint32_t size,
                     uint32_t flags) {
    uint32_t m[16];
    memcpy(m, block, BLOCK);
    row a, b, c, d = {(uint32_t)counter, (uint32_t)(counter >> 32), size, flags};
    memcpy(&a, cv, 16);
    memcpy(&b, cv + 4, 16);
    memcpy(&c, IV, 16);
#pragma GCC unroll 7
    for (int i = 0; i < 7; i++) {
        const uint8_t *s = SCHEDULE[i];
        HALF_G(PICK(0, 2, 4, 6), 16, 12)
        HALF_G(PICK(1, 3, 5, 7), 8, 7)
        b = __builtin_shuffle(b, (row){1, 2, 3, 0}); /* the diagonals become columns */
        c = __builtin_shuffle(c, (row){2, 3, 0, 1});
        d = __builtin_shuffle(d, (row){3, 0, 1, 2});
        HALF_G(PICK(8, 10, 12, 14), 16, 12)
        HALF_G(PICK(9, 11, 13, 15), 8, 7)
        b = __builtin_shuffle(b, (row){3, 0, 1, 2});
        c = __builtin_shuffle(c, (row){2, 3, 0, 1});
        d = __builtin_shuffle(d, (row){1, 2, 3, 0});
    }
    a ^= c;
    b ^= d;
    memcpy(cv, &a, 16);
    memcpy(cv + 4, &b, 16);
}

/* A chunk of 0 to 1024 bytes (paper, 2.4). */
static void chunk(uint32_t cv[8], const uint8_t *data, size_t size, uint64_t counter,
                  uint32_t root) {
    memcpy(cv, IV, CV);
    uint32_t flags = CHUNK_START;
    for (; size > BLOCK; data += BLOCK, size -= BLOCK, flags = 0)
        compress(cv, data, counter, BLOCK, flags);
    uint8_t last[BLOCK] = {0};
    if (size)
        memcpy(last, data, size);
    compress(cv, last, counter, (uint32_t)size, flags | CHUNK_END | root);
}

/* -- the same, many inputs side by side: a word of each a vector ------------------------------- */

enum { LANES = 8 };

typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

#define QUARTER(a, b, c, d, first, second) \
    v[a] = v[a] + v[b] + m[s[first]]; \
    v[d] = ROTATE(v[d] ^ v[a], 16); \
    v[c] = v[c] + v[d]; \
    v[b] = ROTATE(v[b] ^ v[c], 12); \
    v[a] = v[a] + v[b] + m[s[second]]; \
    v[d] = ROTATE(v[d] ^ v[a], 8); \
    v[c] = v[c] + v[d]; \
    v[b] = ROTATE(v[b] ^ v[c], 7);
#define PAIRS(x, y, mask) __builtin_shuffle(x, y, (lanes)mask)
#define LOW_WORDS {0, 8, 1, 9, 4, 12, 5, 13}
#define HIGH_WORDS {2, 10, 3, 11, 6, 14, 7, 15}
#define LOW_PAIRS {0, 1, 8, 9, 4, 5, 12, 13}
#define HIGH_PAIRS {2, 3, 10, 11, 6, 7, 14, 15}
#define LOW_HALVES {0, 1, 2, 3, 8, 9, 10, 11}
#define HIGH_HALVES {4, 5, 6, 7, 12, 13, 14, 15}

/* Eight vectors r of eight words become words[i] = word i of each. */
#define TRANSPOSE(r, words) \
    do { \
        lanes p[8], q[8]; \
        for (int i = 0; i < 8; i += 2) { \
            p[i] = PAIRS(r[i], r[i + 1], LOW_WORDS), p[i + 1] = PAIRS(r[i], r[i + 1], HIGH_WORDS); \
        } \
        for (int i = 0; i < 8; i += 4) \
            for (int j = 0; j < 2; j++) { \
                q[i + 2 * j] = PAIRS(p[i + j], p[i + j + 2], LOW_PAIRS); \
                q[i + 2 * j + 1] = PAIRS(p[i + j], p[i + j + 2], HIGH_PAIRS); \
            } \
        for (int i = 0; i < 4; i++) { \
            (words)[i] = PAIRS(q[i], q[i + 4], LOW_HALVES); \
            (words)[i + 4] = PAIRS(q[i], q[i + 4], HIGH_HALVES); \
        } \
    } while (0)

/* Chaining values of LANES inputs of `blocks` whole blocks, with the flags of the first block, of
 * each and of the last. */
EVERY_WIDTH
static void side_by_side(uint32_t *const out[LANES], const uint8_t *const in[LANES],
                         const uint32_t counter[LANES], int blocks, uint32_t first, uint32_t every,
                         uint32_t last) {
    const lanes zero = {0};
    lanes cv[8], m[16], v[16] = {zero}, r[8], number;
    memcpy(&number, counter, sizeof number);
    for (int i = 0; i < 8; i++)
        cv[i] = zero + IV[i];
    for (int block = 0; block < blocks; block++) {
        for (int half = 0; half < 16; half += 8) {
            for (int i = 0; i < LANES; i++)
                memcpy(&r[i], in[i] + BLOCK * block + 4 * half, sizeof r[i]);
            TRANSPOSE(r, m + half);
        }
        uint32_t flags = every | (block ? 0 : first) | (block == blocks - 1 ? last : 0);
        for (int i = 0; i < 8; i++)
            v[i] = cv[i];
        for (int i = 0; i < 4; i++)
            v[8 + i] = zero + IV[i];
        v[12] = number, v[13] = zero, v[14] = zero + BLOCK, v[15] = zero + flags;
#pragma GCC unroll 7
        for (int i = 0; i < 7; i++) {
            const uint8_t *s = SCHEDULE[i];
            QUARTER(0, 4, 8, 12, 0, 1)
            QUARTER(1, 5, 9, 13, 2, 3)
            QUARTER(2, 6, 10, 14, 4, 5)
            QUARTER(3, 7, 11, 15, 6, 7)
            QUARTER(0, 5, 10, 15, 8, 9)
            QUARTER(1, 6, 11, 12, 10, 11)
            QUARTER(2, 7, 8, 13, 12, 13)
            QUARTER(3, 4, 9, 14, 14, 15)
        }
        for (int i = 0; i < 8; i++)
            cv[i] = v[i] ^ v[i + 8];
    }
    TRANSPOSE(cv, r);
    for (int i = 0; i < LANES; i++)
        memcpy(out[i], &r[i], CV);
}

/* -- what Python calls ------------------------------------------------------------------------- */

static int wants(Py_ssize_t got, Py_ssize_t need, const char *name) {
    if (got != need)
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, need, got);
    return got == need;
}

/* Whether [at, at + count) lies in a buffer; IndexError if not. */
static int inside(const Py_buffer *buffer, Py_ssize_t at, Py_ssize_t count) {
    if (at < 0 || count < 0 || count > buffer->len || at > buffer->len - count) {
        PyErr_Format(PyExc_IndexError, "%zd bytes at %zd are not inside a buffer of %zd", count, at,
                     buffer->len);
        return 0;
    }
    return 1;
}

/* Integers from arguments[first] on; 0 and an exception if one is none. */
static int integers(PyObject *const *arguments, int first, int count, Py_ssize_t *out) {
    for (int i = 0; i < count; i++) {
        out[i] = PyNumber_AsSsize_t(arguments[first + i], PyExc_OverflowError);
        if (out[i] == -1 && PyErr_Occurred())
            return 0;
    }
    return 1;
}

PyDoc_STRVAR(hash_doc, "hash(data)\n\nSee shared_kernel/primitives.py. More than one chunk goes to "
                       "the blake3 package, which is quicker there.");

static PyObject *py_hash(PyObject *self, PyObject *arg) {
    Py_buffer data;
    uint32_t cv[8];
    if (PyObject_GetBuffer(arg, &data, PyBUF_SIMPLE))
        return NULL;
    int short_enough = data.len <= CHUNK;
    if (short_enough)
        chunk(cv, data.buf, (size_t)data.len, 0, ROOT);
    PyBuffer_Release(&data);
    if (short_enough)
        return PyBytes_FromStringAndSize((const char *)cv, CV);
    PyObject *package = PyImport_ImportModule("blake3"), *hasher = NULL, *result = NULL;
    if (package)
        hasher = PyObject_CallMethod(package, "blake3", "O", arg);
    if (hasher)
        result = PyObject_CallMethod(hasher, "digest", NULL);
    Py_XDECREF(hasher);
    Py_XDECREF(package);
    return result;
}

PyDoc_STRVAR(chunk_cv_doc,
             "chunk_cv(data, at, counter, out, out_at)\n\nSee shared_kernel/primitives.py.");

static PyObject *py_chunk_cv(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Py_buffer data, out;
    Py_ssize_t n[2], out_at;
    uint32_t cv[8];
    int ok = 0;
    if (!wants(count, 5, "chunk_cv") || !integers(arguments, 1, 2, n)
        || !integers(arguments, 4, 1, &out_at))
        return NULL;
    if (PyObject_GetBuffer(arguments[0], &data, PyBUF_SIMPLE))
        return NULL;
    if (!PyObject_GetBuffer(arguments[3], &out, PyBUF_WRITABLE)) {
        if (inside(&data, n[0], CHUNK) && inside(&out, out_at, CV)) {
            chunk(cv, (const uint8_t *)data.buf + n[0], CHUNK, (uint64_t)n[1], 0);
            memcpy((uint8_t *)out.buf + out_at, cv, CV);
            ok = 1;
        }
        PyBuffer_Release(&out);
    }
    PyBuffer_Release(&data);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(parent_cv_doc,
             "parent_cv(cvs, left, right, out, out_at, root)\n\nSee shared_kernel/primitives.py.");

static PyObject *py_parent_cv(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Py_buffer cvs, out;
    Py_ssize_t n[2], m[2];
    uint32_t cv[8];
    uint8_t block[BLOCK];
    int ok = 0;
    if (!wants(count, 6, "parent_cv") || !integers(arguments, 1, 2, n)
        || !integers(arguments, 4, 2, m))
        return NULL;
    if (PyObject_GetBuffer(arguments[0], &cvs, PyBUF_SIMPLE))
        return NULL;
    if (!PyObject_GetBuffer(arguments[3], &out, PyBUF_WRITABLE)) {
        if (inside(&cvs, n[0], CV) && inside(&cvs, n[1], CV) && inside(&out, m[0], CV)) {
            memcpy(block, (const uint8_t *)cvs.buf + n[0], CV);
            memcpy(block + CV, (const uint8_t *)cvs.buf + n[1], CV);
            memcpy(cv, IV, CV);
            compress(cv, block, 0, BLOCK, PARENT | (m[1] ? ROOT : 0));
            memcpy((uint8_t *)out.buf + m[0], cv, CV);
            ok = 1;
        }
        PyBuffer_Release(&out);
    }
    PyBuffer_Release(&cvs);
    return ok ? Py_NewRef(Py_None) : NULL;
}

/* Numbers of chunks, ascending. */
static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Inputs of chunks or of parents, put off until there are enough for all lanes. */
typedef struct {
    const uint8_t *in[LANES];
    uint32_t *out[LANES];
    uint32_t counter[LANES];
    int size, chunks;
} batch;

static void hash_batch(batch *b) {
    uint32_t unused[8];
    if (b->size > 1) {
        for (int i = b->size; i < LANES; i++)
            b->in[i] = b->in[0], b->out[i] = unused, b->counter[i] = 0;
        if (b->chunks)
            side_by_side(b->out, b->in, b->counter, CHUNK / BLOCK, CHUNK_START, 0, CHUNK_END);
        else
            side_by_side(b->out, b->in, b->counter, 1, 0, PARENT, 0);
    } else if (b->size && b->chunks) /* one alone is quicker with its rows as vectors */
        chunk(b->out[0], b->in[0], CHUNK, b->counter[0], 0);
    else if (b->size) {
        memcpy(b->out[0], IV, CV);
        compress(b->out[0], b->in[0], 0, BLOCK, PARENT);
    }
    b->size = 0;
}

static void put_off(batch *b, const uint8_t *in, uint32_t *out, uint32_t counter) {
    b->in[b->size] = in, b->out[b->size] = out, b->counter[b->size] = counter;
    if (++b->size == LANES)
        hash_batch(b);
}

/* Rehash the chunks of data whose numbers are dirty[:count], ascending, and every parent above them
 * once; return the root. cvs holds the tree of n chunks level by level; the parents of a level pair
 * its neighbours, an odd last one moves up as it is. */
static const uint32_t *climb(const uint8_t *data, uint32_t *cvs, Py_ssize_t n,
                             const uint32_t *dirty, Py_ssize_t count) {
    batch b = {.size = 0, .chunks = 1};
    for (Py_ssize_t i = 0; i < count; i++)
        put_off(&b, data + (size_t)CHUNK * dirty[i], cvs + 8 * (size_t)dirty[i], dirty[i]);
    hash_batch(&b);
    b.chunks = 0;
    for (int level = 1; n > 2; level++, n = (n + 1) / 2) {
        uint32_t *above = cvs + 8 * n;
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_ssize_t up = dirty[i] >> level;
            if (i && dirty[i - 1] >> level == up) /* has been done */
                continue;
            if (2 * up + 1 < n)
                put_off(&b, (const uint8_t *)(cvs + 16 * up), above + 8 * up, 0);
            else
                memcpy(above + 8 * up, cvs + 16 * up, CV);
        }
        hash_batch(&b);
        cvs = above;
    }
    memcpy(cvs + 16, IV, CV);
    compress(cvs + 16, (const uint8_t *)cvs, 0, BLOCK, PARENT | ROOT);
    return cvs + 16;
}

PyDoc_STRVAR(
    climb_doc,
    "climb(data, cvs, chunks, dirty, count, touched) -> root\n\nSee shared_kernel/primitives.py.");

/* states of a chunk, see shared_kernel/arena.py */
enum { CLEAN = 0, DIRTY = 1, MOST_CHUNKS = 1 << 22 };

static PyObject *py_climb(PyObject *self, PyObject *const *arguments, Py_ssize_t given) {
    Py_buffer buffers[4]; /* data, cvs, dirty, touched */
    static const int places[4] = {0, 1, 3, 5};
    Py_ssize_t n, count, total = 1;
    PyObject *result = NULL;
    int held = 0;
    if (!wants(given, 6, "climb") || !integers(arguments, 2, 1, &n)
        || !integers(arguments, 4, 1, &count))
        return NULL;
    for (; held < 4; held++)
        if (PyObject_GetBuffer(arguments[places[held]], &buffers[held],
                               held ? PyBUF_CONTIG : PyBUF_CONTIG_RO))
            goto end;
    if (n < 2 || n > MOST_CHUNKS || count < 0 || count > n) {
        PyErr_Format(PyExc_IndexError,
                     "a tree has 2 to %d chunks, and at most each of them is dirty, not %zd of %zd",
                     MOST_CHUNKS, count, n);
        goto end;
    }
    for (Py_ssize_t level = n; level > 1; level = (level + 1) / 2)
        total += level;
    if (!inside(&buffers[0], 0, n * CHUNK) || !inside(&buffers[1], 0, total * CV)
        || !inside(&buffers[2], 0, 4 * count) || !inside(&buffers[3], 0, n))
        goto end;
    uint32_t *dirty = buffers[2].buf;
    uint8_t *touched = buffers[3].buf;
    qsort(dirty, (size_t)count, 4, by_number);
    if (count && dirty[count - 1] >= n) {
        PyErr_Format(PyExc_IndexError, "chunk %u is none of %zd", dirty[count - 1], n);
        goto end;
    }
    const uint32_t *root = climb(buffers[0].buf, buffers[1].buf, n, dirty, count);
    for (Py_ssize_t i = 0; i < count; i++)
        if (touched[dirty[i]] == DIRTY)
            touched[dirty[i]] = CLEAN;
    result = PyBytes_FromStringAndSize((const char *)root, CV);
end:
    while (held)
        PyBuffer_Release(&buffers[--held]);
    return result;
}

PyDoc_STRVAR(copy_doc, "copy(to, to_at, of, of_at, count)\n\nSee shared_kernel/primitives.py.");

static PyObject *py_copy(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Py_buffer to, of;
    Py_ssize_t to_at, n[2];
    int ok = 0;
    if (!wants(count, 5, "copy") || !integers(arguments, 1, 1, &to_at)
        || !integers(arguments, 3, 2, n))
        return NULL;
    if (PyObject_GetBuffer(arguments[0], &to, PyBUF_WRITABLE))
        return NULL;
    if (!PyObject_GetBuffer(arguments[2], &of, PyBUF_SIMPLE)) {
        if (inside(&to, to_at, n[1]) && inside(&of, n[0], n[1])) {
            memmove((uint8_t *)to.buf + to_at, (const uint8_t *)of.buf + n[0], (size_t)n[1]);
            ok = 1;
        }
        PyBuffer_Release(&of);
    }
    PyBuffer_Release(&to);
    return ok ? Py_NewRef(Py_None) : NULL;
}

/* min(sum of squared differences, 2^63 - 1), whatever the numbers. */
static uint64_t exactly(const int32_t *vector, const int32_t *query, Py_ssize_t dim) {
    unsigned __int128 total = 0;
    for (Py_ssize_t i = 0; i < dim; i++) {
        int64_t difference = (int64_t)vector[i] - query[i];
        uint64_t magnitude = (uint64_t)(difference < 0 ? -difference : difference);
        total += (unsigned __int128)magnitude * magnitude;
    }
    return total > INT64_MAX ? INT64_MAX : (uint64_t)total;
}

#ifdef __x86_64__
/* Sums in 64 bits, eight components at a time; dim is a multiple of 8. Returns the OR of the
 * magnitudes of all differences, bit 31 set if one left 32 bits: it tells whether the sums are
 * exact. */
__attribute__((target("avx2"))) static uint32_t quickly(const int32_t *vectors, Py_ssize_t stride,
                                                        Py_ssize_t dim, Py_ssize_t count,
                                                        const int32_t *query, uint64_t *out) {
    __m256i seen = _mm256_setzero_si256();
    for (Py_ssize_t j = 0; j < count; j++) {
        const int32_t *vector = vectors + j * stride;
        __m256i total = _mm256_setzero_si256();
        for (Py_ssize_t i = 0; i < dim; i += 8) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(vector + i));
            __m256i b = _mm256_loadu_si256((const __m256i *)(query + i));
            __m256i d = _mm256_sub_epi32(a, b);
            __m256i wrapped = _mm256_and_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(a, d));
            seen = _mm256_or_si256(
                seen, _mm256_or_si256(_mm256_xor_si256(d, _mm256_srai_epi32(d, 31)), wrapped));
            __m256i odd = _mm256_srli_epi64(d, 32);
            total = _mm256_add_epi64(
                total, _mm256_add_epi64(_mm256_mul_epi32(d, d), _mm256_mul_epi32(odd, odd)));
        }
        __m128i half =
            _mm_add_epi64(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
        out[j] = (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
    }
    uint32_t lanes[8], all = 0;
    _mm256_storeu_si256((__m256i *)lanes, seen);
    for (int i = 0; i < 8; i++)
        all |= lanes[i];
    return all;
}
#endif

/* Distances of count vectors, `stride` words apart, to out. */
static void run(const int32_t *vectors, Py_ssize_t stride, Py_ssize_t dim, Py_ssize_t count,
                const int32_t *query, uint64_t *out) {
#ifdef __x86_64__
    if (dim % 8 == 0 && dim && __builtin_cpu_supports("avx2")) {
        int bits = 3;
        while ((Py_ssize_t)1 << bits < dim)
            bits++;
        /* Every difference below 2^n in magnitude: the sum is below 2^(2n + bits), which must be at
         * most 2^63. */
        if (!(quickly(vectors, stride, dim, count, query, out) >> (63 - bits) / 2))
            return;
    }
#endif
    for (Py_ssize_t j = 0; j < count; j++)
        out[j] = exactly(vectors + j * stride, query, dim);
}

PyDoc_STRVAR(
    distances_doc,
    "distances(words, first, stride, dim, count, query, out)\n\nSee shared_kernel/distances.py.");

static PyObject *py_distances(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Py_buffer words, query, out;
    Py_ssize_t n[4]; /* first, stride, dim, count */
    int ok = 0;
    if (!wants(count, 7, "distances") || !integers(arguments, 1, 4, n))
        return NULL;
    if (n[0] < 0 || n[1] < 0 || n[2] < 0 || n[3] < 0 || n[0] > 1 << 30 || n[1] > 1 << 20
        || n[2] > 1 << 20 || n[3] > 1 << 30) {
        PyErr_SetString(PyExc_IndexError, "first, stride, dim and count must be sizes of an arena");
        return NULL;
    }
    if (PyObject_GetBuffer(arguments[0], &words, PyBUF_CONTIG_RO))
        return NULL;
    if (!PyObject_GetBuffer(arguments[5], &query, PyBUF_CONTIG_RO)) {
        if (!PyObject_GetBuffer(arguments[6], &out, PyBUF_CONTIG)) {
            Py_ssize_t last = n[3] ? n[0] + (n[3] - 1) * n[1] + n[2] : 0;
            if (inside(&words, 0, 4 * last) && inside(&query, 0, 4 * n[2])
                && inside(&out, 0, 8 * n[3])) {
                run((const int32_t *)words.buf + n[0], n[1], n[2], n[3], query.buf, out.buf);
                ok = 1;
            }
            PyBuffer_Release(&out);
        }
        PyBuffer_Release(&query);
    }
    PyBuffer_Release(&words);
    return ok ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(nearest_doc, "nearest(words, base, skip, per, span, stride, fresh, dim, query, k, "
                          "tag)\n\nSee shared_kernel/primitives.py.");

/* words of a record's slot, see shared_kernel/kernel.py */
enum { ID = 1, TAG = 4, VECTOR = 5, CHUNK_WORDS = 256 };

typedef struct {
    uint64_t distance;
    uint32_t id;
} hit;

static int nearer(hit a, hit b) {
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

static PyObject *py_nearest(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    Py_buffer words, query;
    Py_ssize_t n[7], k, tag = -1; /* base, skip, per, span, stride, fresh, dim */
    uint64_t out[CHUNK_WORDS];
    hit *best = NULL;
    Py_ssize_t found = 0;
    PyObject *result = NULL;
    if (!wants(count, 11, "nearest") || !integers(arguments, 1, 7, n)
        || !integers(arguments, 9, 1, &k)
        || (arguments[10] != Py_None && !integers(arguments, 10, 1, &tag)))
        return NULL;
    Py_ssize_t base = n[0], skip = n[1], per = n[2], span = n[3], stride = n[4], fresh = n[5],
               dim = n[6];
    if (PyObject_GetBuffer(arguments[0], &words, PyBUF_CONTIG_RO))
        return NULL;
    if (PyObject_GetBuffer(arguments[8], &query, PyBUF_CONTIG_RO)) {
        PyBuffer_Release(&words);
        return NULL;
    }
    k = k < fresh ? k : fresh; /* there are no more */
    if (base < 0 || skip < 0 || per < 1 || per > CHUNK_WORDS || span < stride
        || stride < VECTOR + dim || fresh < 0 || dim < 1 || fresh > 1 << 20 || skip > 1 << 20
        || span > 1 << 20 || base > 1 << 30 || query.len != 4 * dim
        || (fresh
            && base + (skip + fresh - 1) / per * span + (skip + fresh - 1) % per * stride + stride
                   > words.len / 4)) {
        PyErr_SetString(PyExc_IndexError, "these slots are not inside the arena");
        goto end;
    }
    best = PyMem_Malloc((size_t)(k + 1) * sizeof(hit));
    if (!best) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t first = 0; first < fresh;) { /* a run of slots that stand in one chunk */
        Py_ssize_t place = first + skip, size = per - place % per;
        if (size > fresh - first)
            size = fresh - first;
        const uint32_t *slot =
            (const uint32_t *)words.buf + base + place / per * span + place % per * stride;
        first += size;
        run((const int32_t *)slot + VECTOR, stride, dim, size, query.buf, out);
        for (Py_ssize_t j = 0; j < size; j++, slot += stride) {
            hit each = {out[j], slot[ID]};
            if (!each.id || (arguments[10] != Py_None && slot[TAG] != (uint64_t)tag)
                || (found == k && !nearer(each, best[k - 1])))
                continue;
            Py_ssize_t i = found == k ? k - 1 : found++;
            for (; i && nearer(each, best[i - 1]); i--)
                best[i] = best[i - 1];
            best[i] = each;
        }
    }
    result = PyList_New(found);
    for (Py_ssize_t i = 0; result && i < found; i++) {
        PyObject *pair = Py_BuildValue("(KI)", (unsigned long long)best[i].distance, best[i].id);
        if (pair)
            PyList_SET_ITEM(result, i, pair);
        else
            Py_CLEAR(result);
    }
end:
    PyMem_Free(best);
    PyBuffer_Release(&query);
    PyBuffer_Release(&words);
    return result;
}

static PyMethodDef methods[] = {
    {"hash", py_hash, METH_O, hash_doc},
    {"chunk_cv", (PyCFunction)(void (*)(void))py_chunk_cv, METH_FASTCALL, chunk_cv_doc},
    {"parent_cv", (PyCFunction)(void (*)(void))py_parent_cv, METH_FASTCALL, parent_cv_doc},
    {"climb", (PyCFunction)(void (*)(void))py_climb, METH_FASTCALL, climb_doc},
    {"copy", (PyCFunction)(void (*)(void))py_copy, METH_FASTCALL, copy_doc},
    {"distances", (PyCFunction)(void (*)(void))py_distances, METH_FASTCALL, distances_doc},
    {"nearest", (PyCFunction)(void (*)(void))py_nearest, METH_FASTCALL, nearest_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "fast",
    .m_doc = "Hot loops of shared_kernel in C.",
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_fast(void) {
    PyObject *fast = PyModule_Create(&module);
    if (fast && PyModule_AddIntConstant(fast, "seam", SEAM))
        Py_CLEAR(fast);
    return fast;
}
