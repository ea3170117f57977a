"""Tests that cannot fail prove nothing: each line below breaks one line of the kernel, and the test
it names goes red.

The kernel is loaded anew with one piece of its text replaced, in place of the true one, and the
named test is run on it. A mutation whose text no longer stands in the kernel is an error: look for
what the test protects now, and break that."""

import contextlib
import functools
import importlib
import importlib.machinery
import inspect
import pathlib
import sys

import pytest
import quipu  # noqa: F401  (it looks for the kernel's files, which are not those that are broken here)

from tests import quick
from tests.mutate import mutate

KERNEL = pathlib.Path(__file__).resolve().parent.parent.parent / "shared_kernel"

WALK = "test_kernel.test_kernel_equals_model_on_random_walks"
LONG_WALK = "test_kernel.test_a_long_walk_in_full_pools"
REFUSALS = "test_kernel.test_each_refusal_has_its_error_and_changes_no_byte"
FULL = "test_kernel.test_a_full_pool_refuses_and_takes_again_after_a_delete"
NODE = "test_kernel.test_deleting_a_node_takes_its_edges_and_frees_its_record"
EDGES = "test_kernel.test_edges_deleted_in_any_order_leave_both_lists_whole"
NAMES = "test_kernel.test_names_that_differ_in_one_byte_are_two_keys"
TOUCH = "test_arena.test_apply_touches_every_chunk_before_it_changes_it"
LAYOUT = "test_arena.test_slots_lie_where_the_layout_says"
TREE = "test_root.test_the_incremental_root_is_the_full_hash_for_every_number_of_chunks"
BITS = "test_root.test_each_bit_of_the_arena_changes_the_root"
MOVES = "test_root.test_the_root_moves_with_every_command_and_rests_without_one"
SEARCH = "test_search.test_search_equals_the_model_on_random_records"
GRAPH = "test_search.test_a_neighbourhood_is_breadth_first_with_its_distances"
FLIPS = "test_replay.test_each_bit_of_each_frame_is_told_at_its_seq_and_nothing_is_applied"
REPLAY = "test_replay.test_a_log_replays_to_its_heads_and_roots"
FORGED = "test_replay.test_an_alteration_with_a_fitting_crc_is_told_by_checkpoint_boot_or_head"
GENESIS = "test_replay.test_a_log_begins_with_a_genesis_and_with_nothing_else"
BASE = "test_replay.test_a_continuation_on_another_base_is_refused"
SNAPSHOT_BITS = "test_snapshot.test_each_bit_is_covered"
ARENA_OF_SNAPSHOT = "test_snapshot.test_an_arena_that_is_none_is_refused_though_its_hash_fits"
PAYLOADS = "test_frames.test_each_payload_is_its_literal_bytes"
FRAME = "test_frames.test_a_whole_frame_is_its_literal_bytes"
RATIOS = "test_fixed.test_ratios_round_half_away_from_zero_then_clamp"
GARBAGE = "test_fixed.test_what_is_no_finite_decimal_is_refused"
PAIRS = "test_fixed.test_add_sub_mul_at_every_edge"

MUTATIONS = [  # file, text, what it becomes, the test that must fail
    # slots, free lists, index chains
    (
        "arena",
        "            w[i] = 0\n        w[at + _NEXT]",
        "            pass\n        w[at + _NEXT]",
        WALK,
    ),
    ("arena", "range(at + _ID, at + self.stride)", "range(at + _ID, at + self.stride - 1)", WALK),
    ("arena", "        w[bucket] = link\n        return at", "        return at", WALK),
    ("arena", "        w[at + _NEXT] = w[bucket]\n", "        w[at + _NEXT] = 0\n", WALK),
    ("arena", "            w[bucket] = w[at + _NEXT]", "            w[bucket] = 0", WALK),
    (
        "arena",
        "            w[before + _NEXT] = w[at + _NEXT]",
        "            w[before + _NEXT] = 0",
        LONG_WALK,
    ),
    ("arena", "        link = w[h + 1]\n", "        link = 0\n", WALK),
    ("arena", "            w[h + 1] = w[at + _NEXT]\n", "            w[h + 1] = 0\n", LONG_WALK),
    ("arena", "        w[at + _NEXT] = w[h + 1]\n", "        w[at + _NEXT] = 0\n", LONG_WALK),
    ("arena", "        w[h + 1] = link\n", "        pass\n", WALK),
    ("arena", "            w[h + 2] = link\n", "            pass\n", WALK),
    ("arena", "        w[h] += 1\n", "", WALK),
    ("arena", "        w[h] -= 1\n", "", WALK),
    (
        "arena",
        "self.words[self.header] >= self.capacity",
        "self.words[self.header] > self.capacity",
        FULL,
    ),
    ("arena", "(ident ^ ident >> 8 ^ ident >> 16)", "(ident ^ ident >> 8)", WALK),
    ("arena", "            if w[at + _ID] == ident:", "            if w[at + _ID] >= ident:", WALK),
    ("arena", "        if skip >= per and used:", "        if skip > per and used:", LAYOUT),
    ("arena", "if capacity and words > CHUNK_WORDS:", "if words > CHUNK_WORDS:", LAYOUT),
    ("arena", "skip = (used + words - 1) // words", "skip = used // words", LAYOUT),
    (
        "arena",
        "            self.bytes[at : at + 128] = zero",
        "            pass",
        "test_arena.test_an_arena_on_used_memory_is_as_good_as_new",
    ),
    (
        "arena",
        "            w[_CONFIG_AT + i] = config[i]",
        "            pass",
        "test_root.test_the_configuration_is_in_the_root",
    ),
    (
        "config",
        "not low <= config[i] <= high",
        "not low <= config[i]",
        "test_arena.test_a_configuration_out_of_range_is_refused_with_its_name",
    ),
    # touched before changed
    ("arena", "            self.touch(at)\n            w[h + 1]", "            w[h + 1]", TOUCH),
    ("arena", "            self.touch(at)\n            w[h + 2]", "            w[h + 2]", TOUCH),
    ("arena", "        self.touch(bucket)\n        w[at + _ID]", "        w[at + _ID]", TOUCH),
    (
        "arena",
        "            self.touch(bucket)\n            w[bucket]",
        "            w[bucket]",
        TOUCH,
    ),
    ("arena", "            self.touch(before)\n", "", TOUCH),
    (
        "arena",
        "        self.touch(at)\n        if w[bucket] == link:",
        "        if w[bucket] == link:",
        TOUCH,
    ),
    (
        "arena",
        "            if self.span <= CHUNK_WORDS:",
        "            if True:",
        "test_arena.test_a_slot_larger_than_a_chunk_is_touched_whole",
    ),
    ("arena", "        if state == UNSAVED:", "        if False:", TOUCH),
    ("arena", "        self.touched[chunk] = DIRTY\n", "", TOUCH),
    ("kernel", "            self.records.touch(at)\n            which", "            which", TOUCH),
    ("kernel", "                self.keys.touch(at)\n", "", TOUCH),
    (
        "kernel",
        "        self.records.touch(at)\n        self.arena.words",
        "        self.arena.words",
        TOUCH,
    ),
    (
        "kernel",
        "            self.nodes.touch(node_at)\n            w[node_at + _OUT + end] = link",
        "            w[node_at + _OUT + end] = link",
        TOUCH,
    ),
    (
        "kernel",
        "                self.nodes.touch(node_at)\n                w[node_at + _OUT + end] = after",
        "                w[node_at + _OUT + end] = after",
        TOUCH,
    ),
    ("kernel", "                self.edges.touch(first_at)\n", "", TOUCH),
    ("kernel", "                edges.touch(after_at)\n", "", TOUCH),
    ("kernel", "                edges.touch(before_at)\n", "", TOUCH),
    (
        "kernel",
        "        if arena.touched[0] != _DIRTY:\n            arena.touch(0)\n        w[_SEQ_AT]",
        "        w[_SEQ_AT]",
        TOUCH,
    ),
    # the state root
    (
        "root",
        "        for i in changed:\n            primitives.chunk_cv",
        "        for i in changed[1:]:\n            primitives.chunk_cv",
        TREE,
    ),
    ("root", "if count or self.root is None:", "if self.root is None:", MOVES),
    ("root", "arena.touched[dirty[i]] = CLEAN", "pass", MOVES),
    ("root", "\n            dirty[arena.chunks] = 0\n", "\n", TREE),
    ("root", "1 if n == 2 else 0", "0", TREE),
    ("root", "if 2 * parent + 1 < n:", "if 2 * parent + 2 < n:", TREE),
    (
        "root",
        "                parents.append(parent)\n",
        "                parents[:] = [parent]\n",
        "test_root.test_the_incremental_root_is_the_full_hash_over_random_configurations",
    ),
    (
        "root",
        "self.root = primitives.hash(arena.bytes)",
        "self.root = primitives.hash(arena.bytes[36:])",
        BITS,
    ),
    (
        "root",
        "self.root = primitives.hash(arena.bytes)",
        "self.root = primitives.hash(arena.bytes[:-1])",
        BITS,
    ),
    (
        "root",
        "self.root = primitives.hash(arena.bytes)\n                self.cvs = None",
        "self.root = primitives.hash(arena.bytes)",
        "test_root.test_changing_the_way_midway_changes_no_root",
    ),
    (
        "arena",
        "        self.bytes[:] = data\n        self._all_dirty()",
        "        self.bytes[:] = data",
        "test_root.test_loading_other_bytes_gives_their_root",
    ),
    # what commands mean
    ("kernel", "                self._refer(link, 1)", "                pass", WALK),
    ("kernel", "            self._refer(w[at + _RECORD], -1)", "            pass", NODE),
    ("kernel", "            if refs:", "            if False:", REFUSALS),
    (
        "kernel",
        "[self.records.at(link - 1) + _REFS] >> 8",
        "[self.records.at(link - 1) + _REFS]",
        WALK,
    ),
    ("kernel", "        w[_SEQ_AT] = seq", "        pass", WALK),
    (
        "kernel",
        "        for i in range(at, at + (room + 3) // 4):",
        "        for i in range(at, at + room // 4):",
        WALK,
    ),
    ("kernel", "w[at + _REFS] & ~255 | end", "w[at + _REFS] | end", WALK),
    (
        "kernel",
        "                w[first_at + _PREV_OUT + 2 * end] = link",
        "                pass",
        EDGES,
    ),
    (
        "kernel",
        "                w[after_at + _PREV_OUT + 2 * end] = before",
        "                pass",
        EDGES,
    ),
    (
        "kernel",
        "                w[before_at + _NEXT_OUT + 2 * end] = after",
        "                pass",
        EDGES,
    ),
    ("kernel", "        for first in (_OUT, _IN):", "        for first in (_OUT,):", WALK),
    ("kernel", "                w[at + _ID] = seq", "                pass", WALK),
    ("kernel", "                if i == length:", "                if i:", NAMES),
    ("kernel", "w[at + _LENGTHS] & 255 == length", "w[at + _LENGTHS] & 255 >= length", NAMES),
    ("kernel", "            if not data[start + 4]:\n", "            if True:\n", WALK),
    ("kernel", "            if which & SET_META:\n", "            if True:\n", WALK),
    ("kernel", "(h * 33 ^ data[i])", "(h * 33 + data[i])", WALK),
    (
        "kernel",
        "            if size > self.meta_bytes:",
        "            if size > self.meta_bytes + 1:",
        REFUSALS,
    ),
    ("kernel", "data[start + 1] << 8 != self.dim:", "data[start + 1] << 8 < self.dim:", REFUSALS),
    ("kernel", "            if not 1 <= which <= 3:", "            if not 1 <= which:", REFUSALS),
    ("kernel", " or not which & SET_META and size > 9:", ":", REFUSALS),
    ("kernel", "        if prev != last:", "        if prev > last:", REFUSALS),
    (
        "kernel",
        "if not 1 <= length <= _NAME_BYTES or length > room:",
        "if not 1 <= length <= _NAME_BYTES:",
        REFUSALS,
    ),
    (
        "kernel",
        "if data[start + 4] != 1 or not link or size",
        "if data[start + 4] != 1 or size",
        REFUSALS,
    ),
    ("kernel", "                self.keys.need_room()", "                pass", FULL),
    (
        "kernel",
        "if self.words[records.header] >= records.capacity:",
        "if self.words[records.header] > records.capacity:",
        FULL,
    ),
    ("kernel", "            if size < 0:\n", "            if size < -1:\n", REFUSALS),
    ("kernel", "            self.nodes.need(u32(data, start + 8))\n", "", REFUSALS),
    ("kernel", "w[i] - (1 << 32) if w[i] >> 31 else w[i]", "w[i]", WALK),
    # search and graph
    (
        "nearest",
        " and words[at + _ID] and ",
        " and ",
        "test_search.test_deleted_records_are_not_found",
    ),
    (
        "nearest",
        "(tag is None or words[at + _TAG] == tag)",
        "True",
        "test_search.test_a_tag_filters_and_k_may_exceed_what_is_there",
    ),
    (
        "nearest",
        "            if high <= worst[0] and",
        "            if high < worst[0] and",
        "test_search.test_nearest_first",
    ),
    (
        "nearest",
        "best[i - 1] > each",
        "best[i - 1][:2] > each[:2]",
        "test_search.test_equal_distances_are_ordered_by_id",
    ),
    (
        "nearest",
        "each = (high, out[2 * j], words",
        "each = (high, 0, words",
        "test_search.test_both_words_of_a_distance_count",
    ),
    ("nearest", "min(per - skip, fresh)", "min(per, fresh)", SEARCH),
    (
        "search",
        "    if len(query) != kernel.dim:",
        "    if len(query) < kernel.dim:",
        "test_search.test_a_search_that_makes_no_sense_is_refused",
    ),
    (
        "search",
        "if not isinstance(k, int) or k < 1:",
        "if not isinstance(k, int) or k < 0:",
        "test_search.test_a_search_that_makes_no_sense_is_refused",
    ),
    (
        "distances",
        "        if total > LIMIT:",
        "        if False:",
        "test_search.test_a_distance_saturates_and_never_goes_negative",
    ),
    ("graph", "while found and distance <= depth:", "while found and distance < depth:", GRAPH),
    (
        "graph",
        "                        after.append(other)",
        "                        after.insert(0, other)",
        GRAPH,
    ),
    ("graph", "if kind is not None and w[edge + _KIND] != kind:", "if False:", GRAPH),
    ("graph", "        if directions & bit:", "        if True:", GRAPH),
    (
        "graph",
        "(IN, _IN, _NEXT_IN, _FROM)",
        "(IN, _IN, _NEXT_OUT, _FROM)",
        "test_search.test_edges_are_newest_first_out_before_in",
    ),
    # frames
    ("frames", "put_u32(buffer, start + 8, tick)", "put_u32(buffer, start + 8, 0)", FRAME),
    ("frames", "memoryview(buffer)[start:end]", "memoryview(buffer)[start + 4:end]", FRAME),
    (
        "frames",
        "primitives.crc32(memoryview(buffer)[start:end], crc_seed)",
        "primitives.crc32(memoryview(buffer)[start:end], 0)",
        FRAME,
    ),
    (
        "frames",
        "    return primitives.crc32(name, 0)",
        "    return 0",
        "test_replay.test_a_frame_of_another_log_is_told_at_its_seq",
    ),
    ("frames", "bytes((0, len(name))) + name", "bytes((0, 24)) + name", PAYLOADS),
    (
        "frames",
        "not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF",
        "not isinstance(value, int) or not 0 <= value",
        "test_frames.test_a_number_that_is_no_u32_is_refused_not_cut",
    ),
    (
        "frames",
        "if not -0x80000000 <= each <= 0x7FFFFFFF:",
        "if not -0x80000000 <= each <= 0x80000000:",
        "test_frames.test_a_component_that_is_no_q16_16_integer_is_refused",
    ),
    (
        "frames",
        "    if not 1 <= len(name) <= 24:",
        "    if not 1 <= len(name) <= 25:",
        "test_frames.test_names_have_1_to_24_bytes",
    ),
    (
        "frames",
        "6 + 4 * config[0] + config[5]",
        "4 + 4 * config[0] + config[5]",
        "test_frames.test_the_largest_frame_of_a_configuration",
    ),
    (
        "genesis",
        "    while len(identity.encode()) > _IDENTITY_BYTES:",
        "    while False:",
        "test_frames.test_a_long_identity_is_cut_between_characters",
    ),
    (
        "genesis",
        "        if self.rules != RULES:",
        "        if False:",
        "test_frames.test_a_genesis_of_other_lengths_or_rules_is_refused",
    ),
    # replay
    ("replay", "if crc != u32(data, end):", "if False:", FLIPS),
    (
        "replay",
        "        if u32(data, at + 4) != seq:",
        "        if u32(data, at + 4) < seq:",
        "test_replay.test_a_dropped_frame_is_told_at_its_seq",
    ),
    (
        "replay",
        "        if u32(data, at + 4) != seq:",
        "        if u32(data, at + 4) > seq:",
        "test_replay.test_a_repeated_frame_is_told_where_the_next_is_due",
    ),
    (
        "replay",
        "        if data[at] != VERSION:",
        "        if False:",
        "test_replay.test_a_frame_of_another_version_stops_replay",
    ),
    (
        "replay",
        "        if not whole:\n",
        "        if False:\n",
        "test_replay.test_a_sealed_frame_that_lies_about_its_length_is_told",
    ),
    (
        "replay",
        "self.head = primitives.hash(self.head + frame)",
        "self.head = primitives.hash(frame)",
        REPLAY,
    ),
    (
        "replay",
        "self.head = primitives.hash(self.head + frame)",
        "self.head = primitives.hash(self.head + frame[:8] + frame[12:])",
        REPLAY,
    ),
    (
        "replay",
        "            if payload != root:",
        "            if False:",
        "test_replay.test_a_checkpoint_must_hold_the_root",
    ),
    (
        "replay",
        "            if payload[4:36] != self.head:",
        "            if False:",
        "test_replay.test_a_boot_frame_must_hold_the_head_and_the_next_number",
    ),
    ("replay", "            if payload[4:36] != self.head:", "            if False:", FORGED),
    (
        "replay",
        "            if u32(payload, 0) != self.boot + 1:",
        "            if u32(payload, 0) <= self.boot:",
        "test_replay.test_a_boot_frame_must_hold_the_head_and_the_next_number",
    ),
    (
        "replay",
        "                kernel.check(kind, data, start, end)",
        "                pass",
        "test_replay.test_a_command_that_the_state_refuses_is_a_mismatch",
    ),
    (
        "replay",
        "        elif not kind & SKIPPABLE:",
        "        elif False:",
        "test_replay.test_a_type_that_may_not_be_skipped_stops_replay",
    ),
    ("replay", "        elif not kind & SKIPPABLE:", "        else:", REPLAY),
    ("replay", "            start += TOKEN_BYTES\n", "", REPLAY),
    ("replay", "            self.checkpoints += 1\n", "", REPLAY),
    ("replay", " or primitives.crc32(frame[:end], 0) != u32(frame, end)", "", FLIPS),
    ("replay", " or frame[0] != VERSION or", " or", GENESIS),
    ("replay", "        if seq != due:", "        if False:", GENESIS),
    ("replay", "elif self.kernel.root() != origin[4]:", "elif False:", BASE),
    ("replay", "elif self.kernel.config() != self.genesis.config:", "elif False:", BASE),
    # snapshots
    (
        "snapshot",
        "if primitives.crc32(data[: HEADER - 4], 0) != u32(data, HEADER - 4):",
        "if False:",
        SNAPSHOT_BITS,
    ),
    (
        "snapshot",
        "    if u32(data, 4) != RULES:",
        "    if False:",
        "test_snapshot.test_a_header_of_other_rules_is_refused_by_number",
    ),
    ("snapshot_file", "    if root != header.root:", "    if False:", SNAPSHOT_BITS),
    ("snapshot_file", " or len(arena) < 64:", ":", ARENA_OF_SNAPSHOT),
    (
        "snapshot",
        "    if len(data) < HEADER or",
        "    if",
        "test_snapshot.test_a_snapshot_cut_short_or_drawn_out_is_refused",
    ),
    ("snapshot_file", "    if size != len(arena):", "    if False:", ARENA_OF_SNAPSHOT),
    (
        "snapshot_file",
        "    kernel.arena.load(arena)\n",
        "",
        "test_snapshot.test_a_snapshot_comes_back_as_the_same_state",
    ),
    # arithmetic
    (
        "fixed",
        "    magnitude = abs(numerator) * ONE * 2 + denominator",
        "    magnitude = abs(numerator) * ONE * 2",
        RATIOS,
    ),
    (
        "fixed",
        "    magnitude = abs(numerator) * ONE * 2 + denominator",
        "    magnitude = abs(numerator) * ONE * 2 + denominator - 1",
        RATIOS,
    ),
    (
        "fixed",
        "    return clamp(-magnitude if numerator < 0 else magnitude)",
        "    return -magnitude if numerator < 0 else magnitude",
        RATIOS,
    ),
    (
        "fixed",
        "    return clamp((a * b) >> 16)",
        "    return clamp(a * b // 65536 if a * b > 0 else -(-a * b // 65536))",
        PAIRS,
    ),
    ("fixed", "    return clamp(a + b)", "    return a + b", PAIRS),
    ("fixed", "    return clamp(a - b)", "    return (a - b + 2**31) % 2**32 - 2**31", PAIRS),
    (
        "fixed",
        "    return MAX if n > MAX else MIN if n < MIN else n",
        "    return MAX if n > MAX else -MAX if n < -MAX else n",
        PAIRS,
    ),
    (
        "fixed",
        "        total += a[i] * b[i]\n    return clamp(total >> 16)",
        "        total += a[i] * b[i] >> 16\n    return clamp(total)",
        "test_fixed.test_dot_products_of_edges",
    ),
    ("fixed", '        if not "0" <= c <= "9":', "        if not c.isdigit():", GARBAGE),
    ("fixed", " or len(power) > 3", "", GARBAGE),
    ("fixed", '("e" in text.lower()) != _decimal(power)', "False", GARBAGE),
    ("fixed", "sign * int(digits)", "int(digits)", "test_fixed.test_decimal_text"),
    ("fixed", '"%016d"', '"%d"', "test_fixed.test_texts_of_edges"),
]


@functools.lru_cache(maxsize=None)
def compiled(name, old, new):
    file = KERNEL / (name + ".py")
    text = file.read_text()
    if old:
        text = mutate(text, old, new, name + ".py")
    return compile(text, "%s (broken)" % file if old else str(file), "exec")


class Finder:
    """Gives shared_kernel's modules from their text, one of them with a piece of it replaced."""

    def __init__(self, broken, old, new):
        self.broken, self.old, self.new = broken, old, new

    def find_spec(self, fullname, path, target=None):
        if fullname.split(".")[0] == "shared_kernel":
            return importlib.machinery.ModuleSpec(
                fullname, self, is_package=fullname == "shared_kernel"
            )
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__name__.partition(".")[2] or "__init__"
        exec(
            compiled(name, *(self.old, self.new) if name == self.broken else ("", "")), vars(module)
        )


@contextlib.contextmanager
def broken(name, old, new):
    """While this is open, shared_kernel and the tests' own modules are fresh copies, with one line
    of the kernel broken."""
    before = dict(sys.modules)
    finder = Finder(name, old, new)
    for each in before:
        if each == "shared_kernel" or each.startswith(
            ("shared_kernel.", "tests.kernel.", "tests.model")
        ):
            del sys.modules[each]
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("shared_kernel.primitives").use(
            importlib.import_module("tests.kernel.world").Incremental
        )
        importlib.import_module("shared_kernel." + name)
        yield
    finally:
        sys.meta_path.remove(finder)
        for each in set(sys.modules) - set(before):
            if each.startswith(("shared_kernel", "tests.kernel.", "tests.model")):
                del sys.modules[each]
        sys.modules.update(before)


def run(check):
    """Run one test of the fresh copy."""
    module, _, name = check.partition(".")
    test = getattr(importlib.import_module("tests.kernel." + module), name)
    with pytest.MonkeyPatch.context() as monkeypatch:
        test(
            **{"monkeypatch": monkeypatch}
            if "monkeypatch" in inspect.signature(test).parameters
            else {}
        )


def test_the_lines_are_there():
    for name, old, new, _ in MUTATIONS:
        mutate((KERNEL / f"{name}.py").read_text(), old, new, name)


TRIED = quick.some(MUTATIONS, 40)


@pytest.mark.parametrize(
    "name, old, new, check",
    TRIED,
    ids=["%s-%s" % (name, (new or old).strip()[:40]) for name, old, new, check in TRIED],
)
def test_a_broken_kernel_is_told(name, old, new, check):
    with broken(name, old, new):
        importlib.import_module("tests.kernel." + check.partition(".")[0])
        with pytest.raises((Exception, pytest.fail.Exception)) as caught:
            run(check)
        assert caught.type not in (ImportError, SyntaxError, NameError)


@pytest.mark.parametrize("check", sorted({mutation[3] for mutation in TRIED}))
def test_the_whole_kernel_passes_the_same_test(check):
    """The same way of running, with nothing broken: what goes red above goes red for its
    mutation."""
    with broken("arena", "", ""):
        run(check)


def test_the_true_kernel_is_back_in_its_place():
    from shared_kernel import arena

    with broken("arena", "        w[h] += 1\n", ""):
        assert importlib.import_module("shared_kernel.arena") is not arena
    assert importlib.import_module("shared_kernel.arena") is arena and arena.__file__ == str(
        KERNEL / "arena.py"
    )
