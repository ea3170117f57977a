// The hot loops of shared_kernel/primitives.py for 32-bit boards, as a dynamic native module of
// MicroPython: `quipu_native`.
//
// Each function does what its Python reference says, byte for byte. No static data but constants,
// nothing kept between calls: any of them may interrupt another. An argument out of range raises
// IndexError, words at no multiple of 4 ValueError; nothing has been written then.
// firmware/quipu/provider.py tries the module before it is used.

#include "py/dynruntime.h"

#define SEAM (1) // what the functions mean; the kernel's is primitives.SEAM

static void out_of_range(void) {
    mp_raise_msg(&mp_type_IndexError, MP_ERROR_TEXT("out of range"));
}

// The buffer behind an object, of at least `size` bytes from `at`.
static uint8_t *part(mp_obj_t object, mp_int_t at, mp_int_t size, mp_uint_t access) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, access);
    if (at < 0 || size < 0 || (size_t)at > buffer.len || (size_t)size > buffer.len - at) {
        out_of_range();
    }
    return (uint8_t *)buffer.buf + at;
}

// The 32-bit words behind an object; how many they are to *count.
static uint32_t *words_of(mp_obj_t object, size_t *count, mp_uint_t access) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, access);
    if ((uintptr_t)buffer.buf & 3) {
        mp_raise_ValueError(MP_ERROR_TEXT("not aligned"));
    }
    *count = buffer.len >> 2;
    return buffer.buf;
}

// -- BLAKE3 (paper: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020) ------------------------------

#define BLOCK (64)
#define CHUNK (1024)
enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 }; // paper, table 3
enum { CLEAN, DIRTY }; // what the arena's `touched` says of a chunk

// a + (b rotated right) and a ^ (b rotated right): one instruction each from ARMv7-M on, which gcc
// does not find when a rotated word is used twice.
#if defined(__arm__) && __ARM_ARCH >= 7
#define ADD_ROTATED(a, b, n) \
    ({ \
        uint32_t r; \
        __asm__("add %0, %1, %2, ror #" #n : "=r"(r) : "r"(a), "r"(b)); \
        r; \
    })
#define XOR_ROTATED(a, b, n) \
    ({ \
        uint32_t r; \
        __asm__("eor %0, %1, %2, ror #" #n : "=r"(r) : "r"(a), "r"(b)); \
        r; \
    })
#else
#define ADD_ROTATED(a, b, n) ((a) + ((b) >> n | (b) << (32 - n)))
#define XOR_ROTATED(a, b, n) ((a) ^ ((b) >> n | (b) << (32 - n)))
#endif

// G of the paper's 2.2. A rotation is put off until the word is used: b is kept rotated left by 7,
// d by 8.
#define G(a, b, c, d, x, y) \
    a = ADD_ROTATED(a + (x), b, 7); \
    d = XOR_ROTATED(a, d, 8); \
    c = ADD_ROTATED(c, d, 16); \
    b = XOR_ROTATED(c, b, 7); \
    a = ADD_ROTATED(a + (y), b, 12); \
    d = XOR_ROTATED(a, d, 16); \
    c = ADD_ROTATED(c, d, 8); \
    b = XOR_ROTATED(c, b, 12);

// Word i of the next round's message is word PERMUTATION[i] of this one's (paper, table 2).
#define TAKE(v, from, i, to, place) \
    uint32_t v = from[i]; \
    to[place] = v;
#define G_OF(a, b, c, d, from, i, to, x_place, y_place) \
    { \
        TAKE(x, from, i, to, x_place) \
        TAKE(y, from, i + 1, to, y_place) \
        G(a, b, c, d, x, y) \
    }
#define ROUND(from, to) \
    G_OF(a0, b0, c0, d0, from, 0, to, 5, 8) \
    G_OF(a1, b1, c1, d1, from, 2, to, 0, 2) \
    G_OF(a2, b2, c2, d2, from, 4, to, 6, 11) \
    G_OF(a3, b3, c3, d3, from, 6, to, 1, 4) \
    G_OF(a0, b1, c2, d3, from, 8, to, 15, 12) \
    G_OF(a1, b2, c3, d0, from, 10, to, 3, 9) \
    G_OF(a2, b3, c0, d1, from, 12, to, 10, 7) \
    G_OF(a3, b0, c1, d2, from, 14, to, 13, 14)

static uint32_t rotate_left(uint32_t x, int n) {
    return x << n | x >> (32 - n);
}

// Paper, table 1. Written out by hand where it is used: a constant array would need a relocation on
// each access.
static void initial(uint32_t *cv) {
    cv[0] = 0x6A09E667;
    cv[1] = 0xBB67AE85;
    cv[2] = 0x3C6EF372;
    cv[3] = 0xA54FF53A;
    cv[4] = 0x510E527F;
    cv[5] = 0x9B05688C;
    cv[6] = 0x1F83D9AB;
    cv[7] = 0x5BE0CD19;
}

// Compress one block of `size` bytes into cv (paper, 2.2). The words behind `data` may lie at any
// address.
static void __attribute__((noinline)) compress(uint32_t *cv, const uint8_t *data, uint32_t size,
                                               uint32_t counter, uint32_t flags) {
    uint32_t m[16], n[16];
    if (size == BLOCK && !((uintptr_t)data & 3)) {
        const uint32_t *from = (const uint32_t *)data;
#if defined(__riscv) // for room
        for (int i = 0; i < 16; i++) {
            m[i] = from[i];
        }
#else
        for (int i = 0; i < 16; i += 4) {
            uint32_t a = from[i], b = from[i + 1], c = from[i + 2], d = from[i + 3];
            m[i] = a;
            m[i + 1] = b;
            m[i + 2] = c;
            m[i + 3] = d;
        }
#endif
    } else {
        for (int i = 0; i < 16; i++) {
            m[i] = 0;
        }
        for (uint32_t i = 0; i < size; i++) {
            ((uint8_t *)m)[i] = data[i];
        }
    }
    uint32_t a0 = cv[0], a1 = cv[1], a2 = cv[2], a3 = cv[3];
    uint32_t b0 = rotate_left(cv[4], 7), b1 = rotate_left(cv[5], 7), b2 = rotate_left(cv[6], 7),
             b3 = rotate_left(cv[7], 7);
    uint32_t c0 = 0x6A09E667, c1 = 0xBB67AE85, c2 = 0x3C6EF372, c3 = 0xA54FF53A;
    uint32_t d0 = rotate_left(counter, 8), d1 = 0, d2 = size << 8, d3 = flags << 8;
#if defined(__riscv)
    // Seven rounds, each of which leaves the next one's message. A round is written out once: its
    // code is half as dense again as an M0's.
    uint32_t *now = m, *next = n;
    for (int left = 7; left; left--) {
        ROUND(now, next)
        uint32_t *done = now;
        now = next;
        next = done;
    }
#else
    // Seven rounds, the last with what is in m. Each leaves the next one's message in the other of
    // m and n.
    for (int left = 3;; left--) {
        ROUND(m, n)
        if (left == 0) {
            break;
        }
        ROUND(n, m)
    }
#endif
    cv[0] = a0 ^ c0;
    cv[1] = a1 ^ c1;
    cv[2] = a2 ^ c2;
    cv[3] = a3 ^ c3;
    cv[4] = XOR_ROTATED(rotate_left(d0, 24), b0, 7);
    cv[5] = XOR_ROTATED(rotate_left(d1, 24), b1, 7);
    cv[6] = XOR_ROTATED(rotate_left(d2, 24), b2, 7);
    cv[7] = XOR_ROTATED(rotate_left(d3, 24), b3, 7);
}

// The chaining value of a chunk of 0 to 1024 bytes (paper, 2.4); `last` are flags that its last
// block has besides.
static void chunk(uint32_t *cv, const uint8_t *data, uint32_t size, uint32_t counter,
                  uint32_t last) {
    uint32_t flags = CHUNK_START;
    initial(cv);
    while (size > BLOCK) {
        compress(cv, data, BLOCK, counter, flags);
        flags = 0;
        data += BLOCK;
        size -= BLOCK;
    }
    compress(cv, data, size, counter, flags | CHUNK_END | last);
}

// Write the parent of two chaining values that stand one after the other (paper, 2.5).
static void parent(uint32_t *cv, const uint8_t *children, uint32_t root) {
    initial(cv);
    compress(cv, children, BLOCK, 0, root ? PARENT | ROOT : PARENT);
}

static void put(uint8_t *to, const void *from, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        to[i] = ((const uint8_t *)from)[i];
    }
}

static __attribute__((noinline)) void put_cv(uint8_t *to, const uint32_t *cv) {
    if ((uintptr_t)to & 3) {
        put(to, cv, 32);
    } else {
        for (int i = 0; i < 8; i++) {
            ((uint32_t *)to)[i] = cv[i];
        }
    }
}

static void hash_of(uint32_t *cv, const uint8_t *data, uint32_t size) {
    uint32_t stack[22][8]; // the chaining values of full subtrees: enough for 4 GiB
    uint32_t depth = 0;
    uint32_t chunks = 0;
    while (size > CHUNK) {
        chunk(cv, data, CHUNK, chunks, 0);
        data += CHUNK;
        size -= CHUNK;
        chunks++;
        // Each time that the number of chunks can be halved a subtree is full. More follows, so
        // none of them is the root.
        put_cv((uint8_t *)stack[depth], cv);
        for (uint32_t full = chunks; !(full & 1); full >>= 1) {
            depth--;
            parent(cv, (uint8_t *)stack[depth], 0);
            put_cv((uint8_t *)stack[depth], cv);
        }
        depth++;
    }
    chunk(cv, data, size, chunks, depth ? 0 : ROOT);
    while (depth) {
        put_cv((uint8_t *)stack[depth], cv);
        depth--;
        parent(cv, (uint8_t *)stack[depth], depth == 0);
    }
}

static mp_obj_t quipu_hash(mp_obj_t data_in) {
    mp_buffer_info_t data;
    mp_get_buffer_raise(data_in, &data, MP_BUFFER_READ);
    uint32_t cv[8];
    hash_of(cv, data.buf, data.len);
    return mp_obj_new_bytes((uint8_t *)cv, 32);
}
static MP_DEFINE_CONST_FUN_OBJ_1(hash_obj, quipu_hash);

// climb(data, cvs, chunks, dirty, count, touched) -> root: rehash the chunks of data whose numbers
// are dirty[:count] and all parents above them, and mark them clean. cvs holds the tree level by
// level; its last 32 bytes are the root. Sorts dirty.
static mp_obj_t quipu_climb(size_t n_args, const mp_obj_t *args) {
    uint32_t n = mp_obj_get_int(args[2]);
    uint32_t count = mp_obj_get_int(args[4]);
    size_t places;
    uint32_t *dirty = words_of(args[3], &places, MP_BUFFER_WRITE);
    if (n < 2 || n > 0x1FFFFF || count > places) {
        out_of_range();
    }
    uint32_t total = 1;
    for (uint32_t level = n; level > 1; level = (level + 1) >> 1) {
        total += level;
    }
    size_t cvs_words;
    uint32_t *cvs = words_of(args[1], &cvs_words, MP_BUFFER_WRITE);
    const uint8_t *data = part(args[0], 0, n * CHUNK, MP_BUFFER_READ);
    uint8_t *touched = part(args[5], 0, n, MP_BUFFER_WRITE);
    if (cvs_words < total * 8) {
        out_of_range();
    }
    for (uint32_t i = 0; i < count; i++) { // few, and nearly in order
        uint32_t each = dirty[i], at = i;
        if (each >= n) {
            out_of_range();
        }
        for (; at && dirty[at - 1] > each; at--) {
            dirty[at] = dirty[at - 1];
        }
        dirty[at] = each;
    }
    for (uint32_t i = 0; i < count; i++) {
        chunk(cvs + dirty[i] * 8, data + dirty[i] * CHUNK, CHUNK, dirty[i], 0);
    }
    for (uint32_t level = 1; n > 1; level++, n = (n + 1) >> 1) {
        uint32_t *above = cvs + n * 8;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t up = dirty[i] >> level;
            uint32_t *left = cvs + up * 16;
            if (i && dirty[i - 1] >> level == up) { // has been done
                continue;
            }
            if (2 * up + 1 < n) {
                parent(above + up * 8, (uint8_t *)left, n == 2);
            } else {
                put_cv((uint8_t *)(above + up * 8), left);
            }
        }
        cvs = above;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (touched[dirty[i]] == DIRTY) {
            touched[dirty[i]] = CLEAN;
        }
    }
    return mp_obj_new_bytes((uint8_t *)cvs, 32);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(climb_obj, 6, 6, quipu_climb);

// -- CRC-32, copying ------------------------------------------------------------------------------

// The CRC of each half byte: polynomial 0x04C11DB7, reflected.
static const uint32_t half_bytes[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
};

static uint32_t crc_of(const uint8_t *data, uint32_t size, uint32_t crc) {
    const uint32_t *table = half_bytes;
    crc = ~crc;
    for (const uint8_t *end = data + size; data != end;) {
        crc ^= *data++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static mp_obj_t quipu_crc32(size_t n, const mp_obj_t *args) {
    mp_buffer_info_t data;
    mp_get_buffer_raise(args[0], &data, MP_BUFFER_READ);
    return mp_obj_new_int_from_uint(
        crc_of(data.buf, data.len, n > 1 ? mp_obj_get_int_truncated(args[1]) : 0));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(crc32_obj, 1, 2, quipu_crc32);

static mp_obj_t quipu_copy(size_t n, const mp_obj_t *args) {
    mp_int_t count = mp_obj_get_int(args[4]);
    uint8_t *to = part(args[0], mp_obj_get_int(args[1]), count, MP_BUFFER_WRITE);
    const uint8_t *of = part(args[2], mp_obj_get_int(args[3]), count, MP_BUFFER_READ);
    mp_fun_table.memmove_(to, of, count);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(copy_obj, 5, 5, quipu_copy);

// -- distances ------------------------------------------------------------------------------------

#if defined(__arm__)
#define QUICK __attribute__((optimize("O2")))
#else
#define QUICK // for room
#endif
#define LIMIT (0x7FFFFFFFFFFFFFFFULL)

#if defined(__arm__) && __ARM_ARCH >= 7
#define MULTIPLIES_LONG (1)
#define QUICK_IF_LONG QUICK
#else
#define MULTIPLIES_LONG (0)
#define QUICK_IF_LONG // for room
#endif

#if !MULTIPLIES_LONG && !defined(__riscv) // an M0 multiplies 32 x 32 -> 32 bits only
static uint64_t square(uint32_t x) {
    uint32_t low = x & 0xFFFF, high = x >> 16;
    uint32_t middle = low * high;
    return ((uint64_t)(high * high) << 32 | low * low) + ((uint64_t)middle << 17);
}
#else
static uint64_t square(uint32_t x) {
    return (uint64_t)x * x;
}
#endif

// Below what the differences to this query must be, so that neither they nor the sum of their
// squares can overflow. With a component of 2^30 and more nothing is sure, and it is 0: otherwise a
// difference that wraps has at least 2^30.
static uint32_t limit_of(const uint32_t *query, uint32_t dim) {
    for (uint32_t i = 0; i < dim; i++) {
        if (query[i] + 0x40000000 > 0x7FFFFFFF) {
            return 0;
        }
    }
    return dim <= 128 ? 1 << 28 : dim <= 1 << 15 ? 1 << 24 : 0;
}

// min(sum of squared differences, 2^63 - 1) of a vector and a query of Q16.16, where any of them
// may overflow.
static __attribute__((noinline)) uint64_t far_distance(const uint32_t *a, const uint32_t *query,
                                                       const uint32_t *end) {
    uint64_t sum = 0;
    while (a != end) {
        uint32_t p = *a++ ^ 0x80000000, q = *query++ ^ 0x80000000;
        uint64_t each = square(p < q ? q - p : p - q);
        if (each > LIMIT - sum) {
            return LIMIT;
        }
        sum += each;
    }
    return sum;
}

// The same of any vector and query. limit: limit_of the query.
static __attribute__((noinline)) QUICK uint64_t distance(const uint32_t *a, const uint32_t *query,
                                                         uint32_t dim, uint32_t limit) {
    uint64_t sum = 0;
    uint32_t any = 0;
    const uint32_t *end = a + dim;
    const uint32_t *x = a, *y = query;
#if !MULTIPLIES_LONG
    while (x != end) {
        uint32_t d = *x++ - *y++;
        uint32_t sign = (int32_t)d >> 31;
        d = (d ^ sign) - sign;
        any |= d;
        if (d >> 16) {
            sum += square(d);
        } else {
            sum += d * d;
        }
    }
#else
    // Two components in ten instructions; four a turn.
#define PAIR() \
    { \
        uint32_t c, d, p, q; \
        __asm__( \
            "ldrd %0, %1, [%2], #8\n ldrd %3, %4, [%5], #8\n subs %0, %0, %3\n subs %1, %1, %4\n" \
            "smlal %Q6, %R6, %0, %0\n smlal %Q6, %R6, %1, %1\n" \
            "eor %0, %0, %0, asr #31\n eor %1, %1, %1, asr #31\n" \
            "orrs %7, %7, %0\n orrs %7, %7, %1" \
            : "=&r"(c), "=&r"(d), "+r"(x), "=&r"(p), "=&r"(q), "+r"(y), "+r"(sum), "+r"(any) \
            : \
            : "cc", "memory"); \
    }
    for (const uint32_t *fours = x + (dim & ~3u); x != fours;) {
        PAIR()
        PAIR()
    }
    if (dim & 2) {
        PAIR()
    }
    if (x != end) {
        int32_t d = *x - *y;
        sum += (int64_t)d * d;
        any |= d ^ d >> 31;
    }
#endif
    if (any < limit) { // nearly always
        return sum;
    }
    return far_distance(a, query, end);
}

static mp_obj_t quipu_distances(size_t n, const mp_obj_t *args) {
    mp_int_t first = mp_obj_get_int(args[1]), stride = mp_obj_get_int(args[2]),
             dim = mp_obj_get_int(args[3]);
    mp_int_t count = mp_obj_get_int(args[4]);
    size_t words_count, query_count, out_count;
    const uint32_t *words = words_of(args[0], &words_count, MP_BUFFER_READ);
    const uint32_t *query = words_of(args[5], &query_count, MP_BUFFER_READ);
    uint32_t *out = words_of(args[6], &out_count, MP_BUFFER_WRITE);
    if (first < 0 || stride < 0 || dim < 0 || count < 0 || (size_t)dim > query_count
        || (size_t)count > out_count >> 1) {
        out_of_range();
    }
    // the last vector's place, by steps: an M0 has no 32 x 32 -> 64 multiplication
    size_t last = first;
    for (mp_int_t i = 1; i < count && last <= words_count; i++) {
        last += stride;
    }
    if (count && (last > words_count || (size_t)dim > words_count - last)) {
        out_of_range();
    }
    uint32_t limit = limit_of(query, dim);
    for (; count; count--, first += stride, out += 2) {
        uint64_t each = distance(words + first, query, dim, limit);
        out[0] = each;
        out[1] = each >> 32;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(distances_obj, 7, 7, quipu_distances);

// Words of a record's slot, as in shared_kernel/kernel.py.
enum { ID = 1, TAG = 4, VECTOR = 5 };

typedef struct {
    uint64_t distance;
    uint32_t id;
} near_t;

// By its members: to assign the whole, gcc would call memcpy.
static inline void set(near_t *to, const near_t *from) {
    to->distance = from->distance;
    to->id = from->id;
}

static inline bool before(const near_t *a, const near_t *b) {
    return a->distance < b->distance || (a->distance == b->distance && a->id < b->id);
}

// nearest(words, base, skip, per, span, stride, fresh, dim, query, k, tag) -> [(distance, id)],
// ascending; see primitives.py.
static QUICK_IF_LONG mp_obj_t quipu_nearest(size_t n, const mp_obj_t *args) {
    mp_int_t numbers[7]; // base, skip, per, span, stride, fresh, dim
    for (int i = 0; i < 7; i++) {
        numbers[i] = mp_obj_get_int(args[i + 1]);
    }
    uint32_t base = numbers[0], column = numbers[1], per = numbers[2], span = numbers[3],
             stride = numbers[4], fresh = numbers[5];
    uint32_t dim = numbers[6];
    size_t words_count, query_count;
    const uint32_t *words = words_of(args[0], &words_count, MP_BUFFER_READ);
    const uint32_t *query = words_of(args[8], &query_count, MP_BUFFER_READ);
    mp_int_t k = mp_obj_get_int(args[9]);
    bool tagged = args[10] != mp_const_none;
    uint32_t tag = tagged ? mp_obj_get_int_truncated(args[10]) : 0;
    if (k < 1 || dim > query_count || dim + VECTOR > stride || column >= per || fresh > words_count
        || (per > 1 && (per | stride) > 0xFFFF)) { // or a run's words could not be multiplied out
        out_of_range();
    }
    if ((uint32_t)k > fresh) {
        k = fresh;
    }
    near_t *best = m_malloc((k + 1) * sizeof(near_t));
    mp_int_t found = 0;
    uint64_t worst = LIMIT; // no candidate that is farther comes in
    uint32_t limit = limit_of(query, dim);
    uint32_t row = base, at = base + column * stride;
    while (fresh) {
        uint32_t run = per - column; // slots that stand one after the other
        if (run > fresh) {
            run = fresh;
        }
        if (at > words_count || run * stride > words_count - at) {
            out_of_range();
        }
        fresh -= run;
        for (const uint32_t *slot = words + at; run; run--, slot += stride) {
            if (!slot[ID] || (tagged && slot[TAG] != tag)) {
                continue;
            }
            near_t each = {distance(slot + VECTOR, query, dim, limit), slot[ID]};
            if (each.distance <= worst) {
                mp_int_t i = found < k ? found++ : before(&each, &best[k - 1]) ? k - 1 : k;
                for (; i < k && i && before(&each, &best[i - 1]); i--) {
                    set(&best[i], &best[i - 1]);
                }
                if (i < k) {
                    set(&best[i], &each);
                }
                if (found == k) {
                    worst = best[k - 1].distance;
                }
            }
        }
        column = 0;
        at = row += span;
    }
    mp_obj_t list = mp_obj_new_list(found, NULL);
    size_t length;
    mp_obj_t *items;
    mp_obj_get_array(list, &length, &items);
    for (mp_int_t i = 0; i < found; i++) {
        mp_obj_t pair[2];
        pair[0] = mp_binary_get_val_array('Q', &best[i].distance, 0);
        pair[1] = mp_obj_new_int_from_uint(best[i].id);
        items[i] = mp_obj_new_tuple(2, pair);
    }
    m_free(best);
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(nearest_obj, 11, 11, quipu_nearest);

#if !defined(__riscv) // for room
// -- slots ----------------------------------------------------------------------------------------

// a / b and the rest: an M0 cannot divide, and a dynamic module has no function of the compiler's
// to call.
static uint32_t divide(uint32_t a, uint32_t b, uint32_t *rest) {
#if defined(__arm__) && __ARM_ARCH < 7
    uint32_t quotient = 0;
    for (int i = 31; i >= 0; i--) {
        if (a >> i >= b) {
            a -= b << i;
            quotient |= 1u << i;
        }
    }
    *rest = a;
    return quotient;
#else
    *rest = a % b;
    return a / b;
#endif
}

// A pool, as shared_kernel/arena.py's Pool.shape.
typedef struct {
    uint32_t header, base, skip, per, span, stride, capacity;
} shape_t;

// The word offset of a slot; out of range if it is not among `count` words.
static __attribute__((noinline)) uint32_t place(const shape_t *shape, uint32_t slot, size_t count) {
    uint32_t column, row = divide(slot + shape->skip, shape->per, &column);
    uint32_t at = shape->base + row * shape->span + column * shape->stride;
    if (slot >= shape->capacity || at > count || shape->stride > count - at) {
        out_of_range();
    }
    return at;
}

// take(words, touched, dirty, shape, ident, bucket) -> word offset of the slot taken; 0, and
// nothing is done, if a snapshot is to be told of a chunk before it changes. See
// shared_kernel/arena.py.
static mp_obj_t quipu_take(size_t n, const mp_obj_t *args) {
    size_t count, dirty_count, shape_count;
    uint32_t *words = words_of(args[0], &count, MP_BUFFER_WRITE);
    uint32_t *dirty = words_of(args[2], &dirty_count, MP_BUFFER_WRITE);
    const shape_t *shape = (shape_t *)words_of(args[3], &shape_count, MP_BUFFER_READ);
    uint32_t ident = mp_obj_get_int_truncated(args[4]), bucket = mp_obj_get_int(args[5]);
    size_t chunks = count >> 8;
    uint8_t *touched = part(args[1], 0, chunks, MP_BUFFER_WRITE);
    if (shape_count < 7 || dirty_count <= chunks || shape->header + 2 >= count) {
        out_of_range();
    }
    uint32_t *header = words + shape->header, *dirties = dirty + chunks;
    uint32_t link = header[1];
    uint32_t at = place(shape, (link ? link : header[2] + 1) - 1, count);
    if (!bucket) {
        uint32_t rest;
        divide(ident ^ ident >> 8 ^ ident >> 16, shape->capacity, &rest);
        bucket = place(shape, rest, count);
    }
    uint32_t changed[3] = {0, at >> 8, bucket >> 8};
    if (bucket >= count || *dirties > chunks) {
        out_of_range();
    }
    if (shape->span > 256) { // a slot of several chunks
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    for (int i = 0; i < 3; i++) {
        if (touched[changed[i]] > DIRTY) {
            return MP_OBJ_NEW_SMALL_INT(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (touched[changed[i]] != DIRTY) {
            dirty[(*dirties)++] = changed[i];
            touched[changed[i]] = DIRTY;
        }
    }
    if (link) {
        header[1] = words[at + 2];
    } else {
        link = ++header[2];
    }
    header[0]++;
    words[at + 1] = ident;
    words[at + 2] = words[bucket];
    words[bucket] = link;
    return MP_OBJ_NEW_SMALL_INT(at);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(take_obj, 6, 6, quipu_take);
#endif

// -- frames ---------------------------------------------------------------------------------------

static __attribute__((noinline)) void put_u32(uint8_t *to, uint32_t value) {
    for (int i = 0; i < 4; i++, value >>= 8) {
        *to++ = value;
    }
}

// chain(buffer, kind, size, seq, tick, seed, head, group, at, room) -> the chain head after it; see
// shared_kernel/frames.py.
static mp_obj_t quipu_chain(size_t n, const mp_obj_t *args) {
    mp_int_t size = mp_obj_get_int(args[2]), padded = mp_obj_get_int(args[9]);
    if (size < 0 || size > 0xFFFF || padded < size + 16) {
        out_of_range();
    }
    uint8_t *buffer = part(args[0], 0, 32 + 16 + size, MP_BUFFER_WRITE), *frame = buffer + 32;
    const uint8_t *head = part(args[6], 0, 32, MP_BUFFER_READ);
    uint8_t *group = part(args[7], mp_obj_get_int(args[8]), padded, MP_BUFFER_WRITE);
    mp_fun_table.memmove_(buffer, head, 32);
    frame[0] = 1;
    frame[1] = mp_obj_get_int(args[1]);
    frame[2] = size;
    frame[3] = size >> 8;
    put_u32(frame + 4, mp_obj_get_int_truncated(args[3]));
    put_u32(frame + 8, mp_obj_get_int_truncated(args[4]));
    put_u32(frame + 12 + size, crc_of(frame, 12 + size, mp_obj_get_int_truncated(args[5])));
    size += 16;
    mp_fun_table.memmove_(group, frame, size);
    for (mp_int_t i = size; i < padded; i++) {
        group[i] = 0xFF;
    }
    uint32_t cv[8];
    hash_of(cv, buffer, 32 + size);
    return mp_obj_new_bytes((uint8_t *)cv, 32);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(chain_obj, 10, 10, quipu_chain);

static __attribute__((noinline)) uint32_t get_u32(const uint8_t *from) {
    return from[0] | from[1] << 8 | from[2] << 16 | (uint32_t)from[3] << 24;
}

// scan(buffer, start, end, unit, most, seq, crc_seed) -> where the run of whole frames ends; see
// shared_kernel/scan.py.
static mp_obj_t quipu_scan(size_t n, const mp_obj_t *args) {
    mp_int_t start = mp_obj_get_int(args[1]), unit = mp_obj_get_int(args[3]),
             most = mp_obj_get_int(args[4]);
    mp_int_t size = mp_obj_get_int(args[2]) - start;
    if (unit < 1 || most < 0) {
        out_of_range();
    }
    const uint8_t *frame = part(args[0], start, size, MP_BUFFER_READ);
    uint32_t seq = mp_obj_get_int_truncated(args[5]), seed = mp_obj_get_int_truncated(args[6]);
    while (size >= 16) {
        mp_int_t length = 16 + (frame[2] | frame[3] << 8);
        if (frame[0] != 1 || length > size || length > most || get_u32(frame + 4) != seq
            || crc_of(frame, length - 4, seed) != get_u32(frame + length - 4)) {
            break;
        }
        mp_int_t padded = 0; // by steps: a dynamic module has no division to call
        while (padded < length) {
            padded += unit;
        }
        frame += padded;
        start += padded;
        size -= padded;
        if (++seq == 0) { // none comes after the last
            break;
        }
    }
    return MP_OBJ_NEW_SMALL_INT(start);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(scan_obj, 7, 7, quipu_scan);

// pack(vector, tag, meta) -> the payload of an insert, or the vector's words alone where tag is
// None. Only of a list or tuple of small integers, a small tag and bytes; None for anything else,
// which frames.py then packs or refuses.
static mp_obj_t quipu_pack(mp_obj_t vector, mp_obj_t tag, mp_obj_t meta) {
    const mp_obj_type_t *type = mp_obj_get_type(vector);
    bool bare = tag == mp_const_none;
    if ((type != &mp_type_list && type != mp_obj_get_type(mp_const_empty_tuple))
        || (!bare && (!mp_obj_is_small_int(tag) || MP_OBJ_SMALL_INT_VALUE(tag) < 0))) {
        return mp_const_none;
    }
    size_t dim;
    mp_obj_t *items;
    mp_obj_get_array(vector, &dim, &items);
    mp_buffer_info_t rest = {NULL, 0, 0};
    if (dim > 0xFFFF || (!bare && !mp_get_buffer(meta, &rest, MP_BUFFER_READ))) {
        return mp_const_none;
    }
    size_t head = bare ? 0 : 6;
    size_t size = head + 4 * dim + rest.len;
    uint8_t *out = m_malloc(size + 1);
    for (size_t i = 0; i < dim; i++) {
        if (!mp_obj_is_small_int(items[i])) {
            m_free(out);
            return mp_const_none;
        }
        put_u32(out + head + 4 * i, MP_OBJ_SMALL_INT_VALUE(items[i]));
    }
    if (!bare) {
        out[0] = dim;
        out[1] = dim >> 8;
        put_u32(out + 2, MP_OBJ_SMALL_INT_VALUE(tag));
        mp_fun_table.memmove_(out + head + 4 * dim, rest.buf, rest.len);
    }
    return mp_obj_new_bytearray_by_ref(size, out);
}
static MP_DEFINE_CONST_FUN_OBJ_3(pack_obj, quipu_pack);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_seam, MP_OBJ_NEW_SMALL_INT(SEAM));
    mp_store_global(MP_QSTR_name, MP_OBJ_NEW_QSTR(MP_QSTR_native));
    mp_store_global(MP_QSTR_hash, MP_OBJ_FROM_PTR(&hash_obj));
    mp_store_global(MP_QSTR_climb, MP_OBJ_FROM_PTR(&climb_obj));
    mp_store_global(MP_QSTR_crc32, MP_OBJ_FROM_PTR(&crc32_obj));
    mp_store_global(MP_QSTR_copy, MP_OBJ_FROM_PTR(&copy_obj));
    mp_store_global(MP_QSTR_distances, MP_OBJ_FROM_PTR(&distances_obj));
    mp_store_global(MP_QSTR_nearest, MP_OBJ_FROM_PTR(&nearest_obj));
    mp_store_global(MP_QSTR_chain, MP_OBJ_FROM_PTR(&chain_obj));
#if !defined(__riscv)
    mp_store_global(MP_QSTR_take, MP_OBJ_FROM_PTR(&take_obj));
#endif
    mp_store_global(MP_QSTR_scan, MP_OBJ_FROM_PTR(&scan_obj));
    mp_store_global(MP_QSTR_pack, MP_OBJ_FROM_PTR(&pack_obj));
    MP_DYNRUNTIME_INIT_EXIT
}
