"""The two hot loops, BLAKE3's compression and distances, in Thumb assembler. Never checks anything:
viper.py does.

Only ARMv6-M instructions, so that one source serves every Cortex-M; nothing is allocated. Both take
`work`, 56 words, of which the last 8 are BLAKE3's initial value, put there once by the caller.
compress() has in it the state v (16 words), the message m (16), the chaining value (8) and what the
next names say, by their byte offsets from the chaining value."""

import micropython
from micropython import const

_COUNTER = const(32)  # set by the caller: the chunk's number, below 2^32
_BLOCK = const(36)  # set by the caller: the next block's address
_OUT = const(40)  # set by the caller: the address for the result
_SIZE = const(44)  # bytes left
_FLAGS = const(48)  # of the next block
_LAST_FLAGS = const(52)  # what the last block has besides
_INITIAL = const(64)

# For distances(), by byte offsets from work's start. The caller sets all that do not say otherwise,
# those from _PER on only to keep the nearest.
_SLOT = const(0)  # the next one's offset from words, then its address
_STRIDE = const(4)  # bytes from a slot to the next
_DIM = const(8)  # bytes of a vector
_COUNT = const(12)  # how many slots are left
_RUN = const(16)  # how many of them stand in this row
_LONG = const(20)  # whether SMLAL may be used (ARMv7-M and up)
_HOW = const(24)  # 0: write each distance; 1: keep the nearest; 2: keep the nearest of a tag
_PER = const(28)  # slots of a row
_SPAN = const(32)  # bytes from a row to the next
_ROW = const(36)  # the row's offset from words, then its address
_LEFT = const(40)  # how many more than are kept now may be
_TAG = const(44)
_QUERY = const(48)  # address; not set by the caller
_TO = const(52)  # the next distance's address, or that of the nearest; not set by the caller
_END = const(56)  # address after the last that is kept; not set by the caller
_ID = const(60)  # this slot's; not set by the caller


@micropython.asm_thumb
def compress(r0, r1):
    """Compress a chunk or a parent: arguments work, what. Writes the chaining value to where _OUT
    says.

    what is its size in bytes, 0 to 1024, plus 2^12 times its flags: CHUNK_START or PARENT, which
    the first block has and which also mean "begin with the initial value"; CHUNK_END and ROOT,
    which the last block has."""
    mov(r4, r0)  # r4 = v, column after column
    mov(r7, r4)
    add(r7, 128)  # r7 = the chaining value
    lsl(r0, r1, 20)
    lsr(r0, r0, 20)
    str(r0, [r7, _SIZE])
    lsr(r1, r1, 12)
    mov(r0, 5)  # CHUNK_START | PARENT
    and_(r0, r1)
    str(r0, [r7, _FLAGS])
    eor(r1, r0)
    str(r1, [r7, _LAST_FLAGS])

    label(NEXT_BLOCK)
    mov(r7, r4)
    add(r7, 128)
    mov(r6, r7)
    ldr(r0, [r7, _FLAGS])
    cmp(r0, 0)
    beq(HAVE_CV)
    add(r6, _INITIAL)
    label(HAVE_CV)

    # v[0..11] = chaining value, first half of the initial value. The assembler has no ldm and stm,
    # hence data().
    data(2, 0xCE0F)  # ldmia r6!, {r0, r1, r2, r3}
    str(r0, [r4, 0])
    str(r1, [r4, 16])
    str(r2, [r4, 32])
    str(r3, [r4, 48])
    data(2, 0xCE0F)
    str(r0, [r4, 4])
    str(r1, [r4, 20])
    str(r2, [r4, 36])
    str(r3, [r4, 52])
    mov(r6, r7)
    add(r6, _INITIAL)
    data(2, 0xCE0F)
    str(r0, [r4, 8])
    str(r1, [r4, 24])
    str(r2, [r4, 40])
    str(r3, [r4, 56])

    # v[12..15] = counter, 0, bytes in this block, flags.
    ldr(r0, [r7, _COUNTER])
    mov(r1, 0)
    mov(r2, 64)
    ldr(r3, [r7, _FLAGS])
    str(r1, [r7, _FLAGS])
    ldr(r6, [r7, _SIZE])
    sub(r6, 64)
    bhi(NOT_LAST)
    add(r2, r2, r6)
    ldr(r6, [r7, _LAST_FLAGS])
    orr(r3, r6)
    mov(r6, 0)
    label(NOT_LAST)
    str(r6, [r7, _SIZE])
    str(r0, [r4, 12])
    str(r1, [r4, 28])
    str(r2, [r4, 44])
    str(r3, [r4, 60])

    # m = the block, padded with zeros.
    mov(r5, r4)
    add(r5, 64)
    ldr(r6, [r7, _BLOCK])
    mov(r0, r6)
    add(r0, 64)
    str(r0, [r7, _BLOCK])
    lsl(r0, r6, 30)
    bne(BYTEWISE)
    cmp(r2, 64)
    bne(BYTEWISE)
    data(2, 0xCE0F, 0xC50F)  # ldmia r6!, {r0, r1, r2, r3}; stmia r5!, {r0, r1, r2, r3}
    data(2, 0xCE0F, 0xC50F)
    data(2, 0xCE0F, 0xC50F)
    data(2, 0xCE0F, 0xC50F)
    b(SEVEN_ROUNDS)
    label(BYTEWISE)
    mov(r0, 0)
    mov(r1, 0)
    mov(r3, 0)
    mov(r7, 0)
    data(2, 0xC58B, 0xC58B, 0xC58B, 0xC58B)  # stmia r5!, {r0, r1, r3, r7}
    sub(r5, 64)
    bl(COPY)

    label(SEVEN_ROUNDS)
    mov(r5, 7)
    label(ROUND)
    mov(r12, r5)  # r12 = rounds left
    mov(r7, r4)
    add(r7, 64)  # r7 = the message words that G takes next
    # Columns: ldmia r4!, {r0, r1, r2, r3};  ...  stmia r4!, {r0, r1, r2, r3}
    data(2, 0xCC0F)
    sub(r4, 16)
    bl(G)
    data(2, 0xC40F)
    data(2, 0xCC0F)
    sub(r4, 16)
    bl(G)
    data(2, 0xC40F)
    data(2, 0xCC0F)
    sub(r4, 16)
    bl(G)
    data(2, 0xC40F)
    data(2, 0xCC0F)
    sub(r4, 16)
    bl(G)
    data(2, 0xC40F)
    sub(r4, 64)
    # Diagonal v[0], v[5], v[10], v[15]
    ldr(r0, [r4, 0])
    ldr(r1, [r4, 20])
    ldr(r2, [r4, 40])
    ldr(r3, [r4, 60])
    bl(G)
    str(r0, [r4, 0])
    str(r1, [r4, 20])
    str(r2, [r4, 40])
    str(r3, [r4, 60])
    # Diagonal v[1], v[6], v[11], v[12]
    ldr(r0, [r4, 16])
    ldr(r1, [r4, 36])
    ldr(r2, [r4, 56])
    ldr(r3, [r4, 12])
    bl(G)
    str(r0, [r4, 16])
    str(r1, [r4, 36])
    str(r2, [r4, 56])
    str(r3, [r4, 12])
    # Diagonal v[2], v[7], v[8], v[13]
    ldr(r0, [r4, 32])
    ldr(r1, [r4, 52])
    ldr(r2, [r4, 8])
    ldr(r3, [r4, 28])
    bl(G)
    str(r0, [r4, 32])
    str(r1, [r4, 52])
    str(r2, [r4, 8])
    str(r3, [r4, 28])
    # Diagonal v[3], v[4], v[9], v[14]
    ldr(r0, [r4, 48])
    ldr(r1, [r4, 4])
    ldr(r2, [r4, 24])
    ldr(r3, [r4, 44])
    bl(G)
    str(r0, [r4, 48])
    str(r1, [r4, 4])
    str(r2, [r4, 24])
    str(r3, [r4, 44])

    mov(r5, r12)
    sub(r5, 1)
    beq(FINISH)

    # Permute the message for the next round: word i becomes word PERMUTATION[i]. It is two cycles
    # of eight words.
    ldr(r0, [r4, 64])
    ldr(r1, [r4, 72])
    str(r1, [r4, 64])
    ldr(r1, [r4, 76])
    str(r1, [r4, 72])
    ldr(r1, [r4, 104])
    str(r1, [r4, 76])
    ldr(r1, [r4, 112])
    str(r1, [r4, 104])
    ldr(r1, [r4, 100])
    str(r1, [r4, 112])
    ldr(r1, [r4, 108])
    str(r1, [r4, 100])
    ldr(r1, [r4, 84])
    str(r1, [r4, 108])
    str(r0, [r4, 84])
    ldr(r0, [r4, 68])
    ldr(r1, [r4, 88])
    str(r1, [r4, 68])
    ldr(r1, [r4, 80])
    str(r1, [r4, 88])
    ldr(r1, [r4, 92])
    str(r1, [r4, 80])
    ldr(r1, [r4, 116])
    str(r1, [r4, 92])
    ldr(r1, [r4, 120])
    str(r1, [r4, 116])
    ldr(r1, [r4, 124])
    str(r1, [r4, 120])
    ldr(r1, [r4, 96])
    str(r1, [r4, 124])
    str(r0, [r4, 96])
    b(ROUND)

    # G of the paper's 2.2 on a, b, c, d = r0, r1, r2, r3 with the next two message words. Also
    # changes r5, r6.
    label(G)
    data(2, 0xCF60)  # ldmia r7!, {r5, r6}
    add(r0, r0, r1)
    add(r0, r0, r5)
    eor(r3, r0)
    mov(r5, 16)
    ror(r3, r5)
    add(r2, r2, r3)
    eor(r1, r2)
    mov(r5, 12)
    ror(r1, r5)
    add(r0, r0, r1)
    add(r0, r0, r6)
    eor(r3, r0)
    mov(r5, 8)
    ror(r3, r5)
    add(r2, r2, r3)
    eor(r1, r2)
    mov(r5, 7)
    ror(r1, r5)
    bx(lr)

    # Copy r2 bytes, 0 or more, from r6 to r5. Also changes r0.
    label(COPY)
    cmp(r2, 0)
    beq(COPIED)
    label(NEXT_BYTE)
    ldrb(r0, [r6, 0])
    strb(r0, [r5, 0])
    add(r6, 1)
    add(r5, 1)
    sub(r2, 1)
    bne(NEXT_BYTE)
    label(COPIED)
    bx(lr)

    # Chaining value = v[0..7] ^ v[8..15], column by column. G has moved r7 from the message to it.
    label(FINISH)
    mov(r5, 4)
    label(NEXT_COLUMN)
    data(2, 0xCC0F)  # ldmia r4!, {r0, r1, r2, r3}
    eor(r0, r2)
    eor(r1, r3)
    str(r0, [r7, 0])
    str(r1, [r7, 16])
    add(r7, 4)
    sub(r5, 1)
    bne(NEXT_COLUMN)
    sub(r4, 64)
    sub(r7, 16)
    ldr(r0, [r7, _SIZE])
    cmp(r0, 0)
    beq(WRITE)
    b(NEXT_BLOCK)

    label(WRITE)
    mov(r6, r7)
    ldr(r5, [r7, _OUT])
    mov(r2, 32)
    lsl(r0, r5, 30)
    bne(WRITE_BYTES)
    data(2, 0xCE0F, 0xC50F)
    data(2, 0xCE0F, 0xC50F)
    b(DONE)
    label(WRITE_BYTES)
    bl(COPY)
    label(DONE)
    mov(r0, 0)  # or the caller would make an int of it, perhaps on the heap
    # and the garbage collector would keep whatever comes to lie at these addresses
    str(r0, [r7, _BLOCK])
    str(r0, [r7, _OUT])


@micropython.asm_thumb
def distances(r0, r1, r2, r3):
    """Measure each slot's squared distance to the query, at most 2^63 - 1: arguments work, words,
    query, out.

    Where _HOW is 0 a slot is a vector, and out gets its distance: low word, high word. Otherwise a
    slot is a record's (id in its word 1, 0 for none; tag in word 4; vector from word 5), and out,
    with room for one more than _LEFT, gets low word, high word and id of the nearest, ascending.
    Returns 0; or 1, and does nothing, when an address is no multiple of 4."""
    mov(r12, r0)
    mov(r7, r0)
    mov(r0, 1)
    mov(r4, r1)
    orr(r4, r2)
    orr(r4, r3)
    lsl(r4, r4, 30)
    bne(DONE)
    str(r2, [r7, _QUERY])
    str(r3, [r7, _TO])
    str(r3, [r7, _END])
    ldr(r0, [r7, _SLOT])
    add(r0, r0, r1)
    str(r0, [r7, _SLOT])
    ldr(r0, [r7, _ROW])
    add(r0, r0, r1)
    str(r0, [r7, _ROW])

    label(NEXT_SLOT)
    mov(r7, r12)
    ldr(r0, [r7, _COUNT])
    sub(r0, 1)
    bcs(MEASURE)
    mov(r0, 0)
    # no address stays: the garbage collector would keep whatever comes to lie there
    str(r0, [r7, _QUERY])
    str(r0, [r7, _TO])
    str(r0, [r7, _END])
    label(DONE)
    b(RETURN)

    label(MEASURE)
    str(r0, [r7, _COUNT])
    ldr(r0, [r7, _SLOT])
    ldr(r1, [r7, _STRIDE])
    add(r1, r0, r1)
    ldr(r2, [r7, _RUN])
    sub(r2, 1)
    bne(SAME_ROW)
    ldr(r1, [r7, _ROW])
    ldr(r2, [r7, _SPAN])
    add(r1, r1, r2)
    str(r1, [r7, _ROW])
    ldr(r2, [r7, _PER])
    label(SAME_ROW)
    str(r1, [r7, _SLOT])
    str(r2, [r7, _RUN])

    ldr(r4, [r7, _HOW])
    cmp(r4, 0)
    beq(VECTOR)
    ldr(r1, [r0, 4])
    cmp(r1, 0)
    beq(NEXT_SLOT)
    str(r1, [r7, _ID])
    cmp(r4, 1)
    beq(ANY_TAG)
    ldr(r1, [r0, 16])
    ldr(r2, [r7, _TAG])
    cmp(r1, r2)
    bne(NEXT_SLOT)
    label(ANY_TAG)
    add(r0, 20)

    label(VECTOR)  # r0 = component, r6 = the vector's end, r1 = the query's component, r3:r2 = sum
    ldr(r6, [r7, _DIM])
    add(r6, r0, r6)
    ldr(r1, [r7, _QUERY])
    mov(r2, 0)
    mov(r3, 0)
    ldr(r4, [r7, _LONG])
    cmp(r4, 0)
    beq(MORE)
    b(MORE_LONG)

    # A difference of less than 2^31 has a square of at most 2^62: the sum, below 2^63 before, shows
    # bit 63 if it went past.
    label(LONG)
    data(2, 0xC810, 0xC920)  # ldmia r0!, {r4}; ldmia r1!, {r5}
    sub(r4, r4, r5)
    bvs(WIDE)
    data(2, 0xFBC4, 0x2304)  # smlal r2, r3, r4, r4
    cmp(r3, 0)
    blt(SATURATE)
    label(MORE_LONG)
    cmp(r0, r6)
    bne(LONG)
    b(MEASURED)

    label(WIDE)  # the rest of this vector goes the other way
    add(r4, r4, r5)
    b(SPLIT)
    label(COMPONENT)
    data(2, 0xC810, 0xC920)
    label(SPLIT)
    cmp(r4, r5)  # r4 = |difference|: up to 2^32 - 1, so it fits
    bge(ABOVE)
    sub(r4, r5, r4)
    b(SQUARE)
    label(ABOVE)
    sub(r4, r4, r5)
    label(SQUARE)
    lsr(r5, r4, 16)
    bne(LARGE)
    mul(r4, r4)
    add(r2, r2, r4)
    adc(r3, r5)  # r5 = 0
    bmi(SATURATE)
    label(MORE)
    cmp(r0, r6)
    bne(COMPONENT)

    label(MEASURED)
    mov(r7, r12)
    ldr(r6, [r7, _TO])
    ldr(r4, [r7, _HOW])
    cmp(r4, 0)
    bne(KEEP)
    str(r2, [r6, 0])
    str(r3, [r6, 4])
    add(r6, 8)
    str(r6, [r7, _TO])
    b(NEXT_SLOT)

    # (high * 2^16 + low)^2 = high^2 * 2^32 + high * low * 2^17 + low^2: an M0 multiplies 32 x 32 ->
    # 32 bits only. The sum is below 2^63 before each step, and what is added is never negative: bit
    # 63 or a carry means that it went past.
    label(LARGE)
    lsl(r4, r4, 16)
    lsr(r4, r4, 16)
    mov(r7, r4)
    mul(r7, r5)
    mul(r4, r4)
    mul(r5, r5)
    add(r2, r2, r4)
    adc(r3, r5)
    bcs(SATURATE)
    bmi(SATURATE)
    lsl(r4, r7, 17)
    lsr(r7, r7, 15)
    add(r2, r2, r4)
    adc(r3, r7)
    bpl(MORE)
    label(SATURATE)
    mov(r2, 0)
    mvn(r2, r2)
    lsr(r3, r2, 1)
    b(MEASURED)

    # Put (r3:r2, r5) behind the last that is kept, and everything greater one place on. If no more
    # may be kept, the greatest of all is then beyond the end.
    label(KEEP)
    ldr(r5, [r7, _ID])
    ldr(r4, [r7, _END])
    label(BEFORE)
    cmp(r4, r6)
    beq(HERE)
    sub(r4, 12)
    ldr(r7, [r4, 4])
    cmp(r7, r3)
    bcc(AFTER)
    bne(MOVE)
    ldr(r7, [r4, 0])
    cmp(r7, r2)
    bcc(AFTER)
    bne(MOVE)
    ldr(r7, [r4, 8])
    cmp(r7, r5)
    bcc(AFTER)
    label(MOVE)
    ldr(r7, [r4, 0])
    str(r7, [r4, 12])
    ldr(r7, [r4, 4])
    str(r7, [r4, 16])
    ldr(r7, [r4, 8])
    str(r7, [r4, 20])
    b(BEFORE)
    label(AFTER)
    add(r4, 12)
    label(HERE)
    str(r2, [r4, 0])
    str(r3, [r4, 4])
    str(r5, [r4, 8])
    mov(r7, r12)
    ldr(r4, [r7, _LEFT])
    sub(r4, 1)
    bcc(FULL)
    str(r4, [r7, _LEFT])
    ldr(r4, [r7, _END])
    add(r4, 12)
    str(r4, [r7, _END])
    label(FULL)
    b(NEXT_SLOT)

    label(RETURN)
