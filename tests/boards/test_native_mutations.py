"""What test_native.py promises can fail: each line of the C, changed, turns the test that is named
red."""

import pytest
from mpremote.transport import TransportExecError
from quipu.build.emulator import Emulator

from tests import quick
from tests.boards import test_native
from tests.boards.test_provider import SOURCE, built
from tests.mutate import mutate

BOARD = "MPS2_AN386"


def take(board):
    test_native.test_take(board, (16, 40, 0, 0, 0, 16, 0))


MUTATIONS = (
    ("for (int left = 3;; left--) {", "for (int left = 2;; left--) {", test_native.test_hash),
    (
        "size == BLOCK && !((uintptr_t)data & 3)",
        "size >= BLOCK - 1 && !((uintptr_t)data & 3)",
        test_native.test_hash,
    ),
    (
        "chunk(cv, data, size, chunks, depth ? 0 : ROOT);",
        "chunk(cv, data, size, chunks, ROOT);",
        test_native.test_hash,
    ),
    (
        "if (any < limit) { // nearly always",
        "if (any <= limit << 3) { // nearly always",
        test_native.test_distances_at_the_edge_of_saturation,
    ),
    (
        "if (each > LIMIT - sum) {",
        "if (each > LIMIT) {",
        test_native.test_distances_at_the_edge_of_saturation,
    ),
    (
        "a->distance == b->distance && a->id < b->id",
        "a->distance == b->distance && a->id > b->id",
        test_native.test_search,
    ),
    (
        "if (i && dirty[i - 1] >> level == up) {",
        "if (i && dirty[i - 1] >> level >= up - 1) {",
        lambda board: [test_native.test_climb(board, chunks) for chunks in (5, 6)],
    ),
    (
        "if (touched[dirty[i]] == DIRTY) {",
        "if (touched[dirty[i]]) {",
        lambda board: test_native.test_climb(board, 5),
    ),
    ("    crc = ~crc;\n", "    crc = ~0;\n", test_native.test_crc32),
    (
        "length > size || length > most",
        "length > most",
        lambda board: test_native.test_scan(board, 4),
    ),
    (
        "length > size || length > most",
        "length > size",
        lambda board: test_native.test_scan(board, 4),
    ),
    (
        "if (++seq == 0) { // none",
        "seq++;\n        if (0) { // none",
        lambda board: test_native.test_scan(board, 4),
    ),
    (
        "crc_of(frame, length - 4, seed) != get_u32(frame + length - 4)",
        "crc_of(frame, 4, seed) == 1",
        lambda board: test_native.test_scan(board, 4),
    ),
    (
        "while (padded < length) {",
        "while (padded <= length) {",
        lambda board: test_native.test_scan(board, 4),
    ),
    ("        if (touched[changed[i]] > DIRTY) {", "        if (0) {", take),
    ("    words[at + 2] = words[bucket];", "    words[at + 2] = 0;", take),
    ("            touched[changed[i]] = DIRTY;", "", take),
    (
        "    uint32_t changed[3] = {0, at >> 8, bucket >> 8};",
        "    uint32_t changed[3] = {0, at >> 8, at >> 8};",
        take,
    ),
    ("        header[1] = words[at + 2];", "        header[1] = 0;", take),
    (
        "    for (mp_int_t i = size; i < padded; i++) {",
        "    for (mp_int_t i = size; i < size; i++) {",
        test_native.test_chain,
    ),
    (
        "    mp_fun_table.memmove_(buffer, head, 32);",
        "    mp_fun_table.memmove_(buffer, head, 31);",
        test_native.test_chain,
    ),
)


def test_what_is_mutated_is_right_before(tmp_path):
    with Emulator(BOARD, frozen=False) as emulator:
        board = test_native.Board(emulator, built(tmp_path))
        for promise in dict.fromkeys(promise for _, _, promise in quick.some(MUTATIONS, 2)):
            promise(board)
        board.transport.close()


def test_the_lines_are_there():
    source = (SOURCE / "quipu_native.c").read_text()
    for line, other, _ in MUTATIONS:
        mutate(source, line, other, c=True)


@pytest.mark.parametrize("line, other, promise", quick.some(MUTATIONS, 2))
def test_a_mutation_is_noticed(tmp_path, line, other, promise):
    with Emulator(BOARD, frozen=False) as emulator:
        board = test_native.Board(emulator, built(tmp_path, line=line, other=other))
        with pytest.raises((AssertionError, TransportExecError)):
            promise(board)
        board.transport.close()
