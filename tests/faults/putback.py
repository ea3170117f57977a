"""The rules of flash format 2 taken back, one at a time: what the explorer must find, or there is
no proof that it could.

Those with a plan are found by the quick run, within some hundred states; the store as it is holds
in the same plans. The others are not found yet, each says how far was looked: that is no proof that
the rule is not needed.

Each fault is a line of shared_kernel's source replaced by another, for this process. A line that is
not there any more is an
error: then the table is out of date. Decides nothing else; tools/explore.py --break NAME runs one.
"""

import ast
import importlib
import textwrap
from pathlib import Path
from typing import NamedTuple

import shared_kernel
from tests.mutate import mutate
from tools.history.search import Plan

SOURCES = Path(__file__).resolve().parents[2] / "shared_kernel"


class Fault(NamedTuple):
    """rule: what is taken back. changes: [(module, function or Class.method, old text, new text)],
    each function once. world: where the explorer looks for it. plan: the part of that world that is
    searched whole for it. fails, rots: whether anything may fail, or rot, in a search without a
    plan. finds: False if the explorer does not find it, and `why`. HELD: the tests that find those."""

    name: str
    rule: str
    changes: list
    world: str = "ring4"
    fails: int = 0
    rots: int = 0
    finds: bool = True
    why: str = ""
    plan: Plan = None


def _each(operations, *hows):
    return tuple([(number, how) for number in range(operations) for how in hows])


FAULTS = [
    Fault(
        "holds_by_its_repeats",
        "a run holds only once the first group behind its repeats is whole",
        [
            (
                "recovery",
                "_measure",
                "due = run.first + run.repeats",
                "due = run.first + run.repeats - 1",
            )
        ],
        finds=False,
        why="not found in 28,000 states: what is repeated was read back before the boot frame was "
        "begun",
    ),
    Fault(
        "holds_by_its_header",
        "(case 27) a run holds only once the first group behind its repeats is whole, not by its "
        "header alone",
        [
            (
                "recovery",
                "_measure",
                "return out",
                "out.last = max(out.last, run.first - 1)\n    out.end = out.end or "
                "reader.address\n    return out",
            )
        ],
        plan=Plan((3,), (("step",),)),
    ),
    Fault(
        "pile_depends",
        "a boot that finds a pile carries its base, it does not depend on it",
        [("settle", "_read_tail", "if (whole or not found.intact) and", "if False and")],
        plan=Plan(
            (17, 21),
            (("put",),),
            (
                "operation 4,.*unit 0 .*some bits",
                "operation 5,.*either",
                "operation 4,.*either",
                "erase of.*first part",
            ),
        ),
    ),
    Fault(
        "pile_stays",
        "with a pile of two, both are erased before anything is promised",
        [("settle", "_erase_pile", "if len(pile) > 1:", "if False:")],
        world="ring8",
        finds=False,
        why="found in a plan (start 5 of ring8, three cuts of operation 6) in which the store as "
        "it is fails, too",
    ),
    Fault(
        "newest_of_three",
        "of a pile of three or more the newest has promised nothing: the second oldest is the base",
        [("recovery", "_choose", "pile[-2 if len(pile) > 2 else 0]", "pile[0]")],
        world="ring8",
        finds=False,
        why="not found in 40,000 states of ring8 from start 5, four cuts of the boots' own runs "
        "deep",
    ),
    Fault(
        "pile_sector_taken",
        "a boot's run never goes to the sector of the two oldest of a pile",
        [
            (
                "settle",
                "_places",
                "used = [region.sector_of(each) for each in found.pile]",
                "used = []",
            )
        ],
        world="ring8",
        finds=False,
        why="not found in 60,000 states of ring8 since the runs under a pile keep their sectors: "
        "tests/log/test_pile.py holds that",
    ),
    Fault(
        "in_an_unsettled_sector",
        "a boot's run goes to the base's sector only if that is certainly not half erased",
        [
            (
                "settle",
                "_places",
                "if found.intact and here not in store.bad:",
                "if here not in store.bad:",
            )
        ],
        finds=False,
        why="not found in 20,000 states of blocks2 and 19,000 of ring4",
    ),
    Fault(
        "one_copy",
        "a header stands twice",
        [("region", "Region.write_header", "self.program(at + self.header_size, data)", "pass")],
        plan=Plan((0,), (("put",),), (), (), True),
    ),
    Fault(
        "not_read_back",
        "what was programmed is read back before it is promised",
        [("region", "Region.program", "if part != (", "if False and part != (")],
        plan=Plan((0,), (("put", "put", "put"),), (), _each(12, "wrong")),
    ),
    Fault(
        "prev_of_a_carried_run",
        "a run that carries another one names the run before that",
        [
            (
                "settle",
                "settle",
                "found.run.prev if replaces else found.run.number",
                "found.run.number",
            )
        ],
        plan=Plan((23,), (("put",),)),
    ),
    Fault(
        "base_by_headers_alone",
        "run numbers lie above every base that a sector record bears",
        [("region", "Region.numbers", "top = max(top, record[1] + self.blocks - 1)", "pass")],
        finds=False,
        why="not found in 20,000 states of ring8 and 19,000 of ring4",
    ),
    Fault(
        "unknown_stay",
        "ring sectors without a valid record are erased before a boot's run is numbered",
        [("settle", "settle", "for sector in found.unknown:", "for sector in []:")],
        finds=False,
        why="not found in 2,200 states of ring8 and 18,000 of ring4",
    ),
    Fault(
        "pull_unsettled",
        "no frame is given out before the boot's run stands, but those that are certain",
        [
            (
                "store",
                "Store._read_frames",
                "if not self.booted and self.damage is None:",
                "if False:",
            ),
            (
                "store",
                "Store.certain",
                "return self.seq if self.booted or self.damage else min(self.seq, "
                "self.found.certain)",
                "return self.seq",
            ),
        ],
        plan=Plan((0,), (("put",), ("pull",)), ("bad or whole|either", "off")),
    ),
    Fault(
        "pull_the_uncertain_when_full",
        "where the log is full and no run can be written, only certain frames are given out",
        [
            (
                "store",
                "Store.certain",
                "return self.seq if self.booted or self.damage else min(self.seq, "
                "self.found.certain)",
                "return self.seq",
            )
        ],
        finds=False,
        why="not found in 40,000 states since a boot's run finds its place in a full ring",
    ),
    Fault(
        "snapshot_of_the_uncertain",
        "without a run only the certain state is snapshot",
        [("store", "Store._snapshot_unsettled", "seq = self.found.certain", "seq = self.seq")],
        plan=Plan((24,), (("put",),), ("bad or whole",)),
    ),
    Fault(
        "snapshot_without_its_frame",
        "a snapshot counts only once the log names it",
        [
            (
                "recovery",
                "_note",
                "header and fresh and header.seq == u32(data, at) and header.generation == "
                "u32(data, at + 4)",
                "False",
            ),
            (
                "store",
                "Store._take",
                "self.proved = found.proved",
                "self.proved = max([(s.seq, s.generation, i) for i, s in enumerate(self.slots) if "
                "s] or [(0, 0, -1)])[2]",
            ),
        ],
        plan=Plan((25,), (("snapshot",),), ("bad or whole",)),
    ),
    Fault(
        "older_slot_by_its_header",
        "(case 28) the slot that stays has been hashed in this boot before the other is erased",
        [("recovery", "_recover", "found.proved < 0 and None", "False and None")],
        finds=False,
        why="not found in 27,000 states; tests/faults/test_breakages.py has case 28",
    ),
    Fault(
        "half_a_group",
        "a group is whole or absent",
        [
            (
                "recovery",
                "_measure",
                "if not reader.buffer[reader.at + TICK_TOP] & MORE:",
                "if True:",
            )
        ],
        plan=Plan((0,), (("group",),)),
    ),
    Fault(
        "blank_without_an_erase",
        "a sector is always erased before it is used",
        [
            (
                "store",
                "Store.take",
                "region.erase(sector, base)",
                "region.mark_erased(sector, 1, base) if region.is_blank(sector * region.sector, "
                "(sector + 1) * region.sector) "
                "else region.erase(sector, base)",
            )
        ],
        finds=False,
        why="not found in 60,000 states: what a boot does not know it erases first",
    ),
    Fault(
        "nothing_behind_the_end",
        "what stands behind the log's end and no cut explains is damage",
        [
            (
                "recovery",
                "_check_end",
                "or _goes_on(reader, broken,",
                "or False and _goes_on(reader, broken,",
            )
        ],
        world="blocks2",
        plan=Plan((1,), (("put",),), (), (), True),
    ),
    Fault(
        "nothing_repeated",
        "a boot repeats the group that may be half programmed",
        [
            (
                "settle",
                "settle",
                "frames, carried = _tail(store, _is_tight(store))",
                "frames, carried = [], False",
            )
        ],
        plan=Plan((0,), (("put", "put"),), ("bad or whole", "operation [0-4],.*either")),
    ),
    Fault(
        "no_reserve",
        "commands leave sectors free for the runs of boots",
        [("store", "Store.reserve", "return 3 if ring >= 8 else 1", "return 0")],
        finds=False,
        why="not found in 18,000 states: a log without room gets it by a pull",
    ),
    Fault(
        "reserve_for_everyone",
        "what is in reserve is for runs that give their sector back",
        [
            (
                "settle",
                "_places",
                "if found.intact and len(free) <= store.reserve() and not store.may_cover():",
                "if False:",
            )
        ],
        finds=False,
        why="not found in 19,000 states: a log without room gets it by a pull",
    ),
    Fault(
        "half_erased_oldest_counts",
        "the oldest run counts only if its frames reach the next one",
        [("recovery", "_find_order", "gone = i + 1", "pass")],
        finds=False,
        why="not found in 26,000 states of ring4 and 1,000 of overwrite",
    ),
    Fault(
        "no_quarantine",
        "a sector whose program failed is left",
        [("store", "_flush", "store.quarantine(store.region.sector_of(store.number))", "pass")],
        fails=1,
        finds=False,
        why="not found in 27,000 states: it wears sectors out, and loses nothing",
    ),
    Fault(
        "retry_without_its_frames",
        "what a failed program carried is programmed once more, bit for bit",
        [
            (
                "store",
                "_flush",
                "store._next_run(store.group_first, store.group_head)\n        "
                "store.region.program(store.address, data)",
                "store._next_run(store.group_first, store.group_head)\n        "
                "store.region.program(store.address, data[:store.unit])",
            )
        ],
        plan=Plan((0,), (("put", "put", "put", "put"),), (), _each(12, "dies")),
    ),
    Fault(
        "recycled_by_one_snapshot",
        "frames may go only once both snapshots cover them",
        [
            (
                "store",
                "Store._covered",
                "self.covered = min(a.seq, b.seq) + 1",
                "self.covered = max(a.seq, b.seq) + 1",
            )
        ],
        plan=Plan((9,), (("pull", "acknowledge", "put"),), ("off",) * 3, (), True),
    ),
    Fault(
        "recycled_unacknowledged",
        "frames may go only once the host has them",
        [("store", "Store._recyclable", "(self.policy == OVERWRITE or self.acked >= end)", "True")],
        plan=Plan((11,), (("group", "delete", "pull"),)),
    ),
    Fault(
        "acknowledged_at_once",
        "an acknowledgement counts only up to what is certain before the boot's run stands",
        [
            (
                "store",
                "Store._acknowledge",
                "self.acked = max(self.acked, min(seq, self.certain() + 1))",
                "self.acked = max(self.acked, seq)",
            )
        ],
        finds=False,
        why="the host acknowledges only what it was given, and it is given only what is certain",
    ),
    Fault(
        "frames_found_by_search",
        "(case 23) a frame stands where the one before it ends, and is looked for nowhere else",
        [
            (
                "reader",
                "LogReader",
                "def _in_next_block(self) -> int:",
                "def _search(self):\n"
                "        here = self.address\n"
                "        for address in range(here + self.region.unit, self.limit, "
                "self.region.unit):\n"
                "            self.address = address\n"
                "            n = self._here()\n"
                "            if n:\n"
                "                return n\n"
                "        self.address = here\n"
                "        return 0\n\n"
                "    def _in_next_block(self) -> int:",
            ),
            (
                "reader",
                "LogReader.next",
                "n = self._here() or self._in_next_block()",
                "n = self._here() or self._in_next_block() or self._search()",
            ),
        ],
        world="blocks2",
        plan=Plan((3,), (("put", "frames", "put", "put", "put", "put"),), ("off",), (), True),
    ),
    Fault(
        "blank_by_guess",
        "(case 22) a region that is not wholly 0xFF and bears no mark is never blank",
        [
            (
                "unfinished",
                "need_unfinished",
                "if run is not None or is_erased(region):",
                "if True:",
            ),
            ("region", "Region.write_header", "self.program(at + self.header_size, data)", "pass"),
        ],
        plan=Plan((0,), (("put",),), (), (), True),
    ),
    Fault(
        "slot_header_once",
        "a snapshot's header stands twice",
        [
            (
                "saver",
                "Saver.commit",
                "for at in (self.arena.size, self.arena.size + region.pad(HEADER)):",
                "for at in (self.arena.size,):",
            )
        ],
        plan=Plan((1,), (("put",),), (), (), True),
    ),
    Fault(
        "superseded_run_named",
        "a run that has all frames of the one before it names the run before that, carried or not",
        [
            (
                "settle",
                "settle",
                "replaces = carried or first == found.run.first",
                "replaces = carried",
            )
        ],
        finds=False,
        why="not found in 27,000 states of ring4 and 11,000 of ring8; the soak found it",
    ),
    Fault(
        "rotten_newest_skipped",
        "the newest run whose first frame rotted is damage",
        [("recovery", "_choose", "if _was_in_use(reader, run):", "if False:")],
        plan=Plan((1,), (("put",),), (), (), True),
    ),
    Fault(
        "broken_header_not_followed",
        "the frames behind a header of which neither copy can be read are followed",
        [
            (
                "recovery",
                "_check_broken",
                "seq > found.last + 2 or seq > found.last and",
                "False and",
            )
        ],
        plan=Plan((1,), (("put",),), (), (), True),
    ),
    Fault(
        "later_block_not_followed",
        "the broken frame at a later block's boundary is followed to where it ends",
        [("recovery", "_goes_on", "if limit >= reader.end:", "if True:")],
        world="blocks2",
        plan=Plan((1,), (("put",),), (), (), True),
    ),
    Fault(
        "boot_frame_is_certain",
        "(F15) a boot frame is certain only once a third group stands behind it",
        [("recovery", "_certain", "return extent.before - 1", "pass")],
        plan=Plan((24,), (("put",),), ("bad or whole",)),
    ),
    Fault(
        "pile_chain_erased",
        "(F14) of a pile no sector is erased that has a run which the carried one goes on from",
        [
            (
                "settle",
                "_erase_pile",
                "needed = _chained(store) + [region.sector_of(number)]",
                "needed = [region.sector_of(number)]",
            )
        ],
        world="overwrite",
        finds=False,
        why="not found in 36,000 states: what the newest goes on from is no part of the pile any more "
        "(tests/log/test_pile.py holds that), so this may be one check too many",
    ),
    Fault(
        "snapshot_before_the_run",
        "(G4) where no sector but those in reserve is free, the boot's run comes before a snapshot",
        [("settle", "_places", "and not store.may_cover()", "")],
        plan=Plan((25,), (("put",),), ("bad or whole", "erase.*(either|first|last)")),
    ),
    Fault(
        "name_forgotten",
        "(F16) a snapshot that the log names stays named when the state is brought to an earlier "
        "frame",
        [("store", "Store._rebuild", "if named and self.proved < 0:", "if False:")],
        finds=False,
        why="not found in 40,000 states since a boot's run comes before the snapshot",
    ),
    Fault(
        "snapshot_is_uncertain",
        "(F13) what a whole snapshot has is certain",
        [("recovery", "_replay", "found.certain = max(found.certain, header.seq)", "pass")],
        plan=Plan((17,), (("put",),), ("bad or whole",)),
    ),
    Fault(
        "newer_by_seq",
        "(F10) of two snapshots the newer is that of the greater generation",
        [
            ("store", "Store._slot_to_write", "a.generation > b.generation", "a.seq > b.seq"),
            (
                "recovery",
                "_check_older",
                "slots[0].generation < slots[1].generation",
                "slots[0].seq < slots[1].seq",
            ),
        ],
        finds=False,
        why="not found in 27,000 states of ring4 and 11,000 of ring8",
    ),
    Fault(
        "unnamed_covers",
        "a log that still has its beginning is covered by two snapshots only if it names the newer",
        [
            (
                "store",
                "Store._covered",
                "if self.proved >= 0 or self._lost_beginning():",
                "if True:",
            )
        ],
        world="overwrite",
        finds=False,
        why="found in a run of 43,000 states (overwrite, start 0, seven boots): too deep for a plan",
    ),
    Fault(
        "one_covers_nothing",
        "where the log's beginning is gone, the only snapshot covers what it has, if it is named",
        [
            (
                "store",
                "Store._covered",
                "elif self.proved >= 0 and self._lost_beginning():",
                "elif False:",
            )
        ],
        finds=False,
        why="a cut within a snapshot then leaves a full ring, and the boot a snapshot before its run: not found in 30,000 states",
    ),
    Fault(
        "pile_is_certain",
        "what a run that nothing settles repeats is no more certain than the run below it says",
        [
            (
                "recovery",
                "_choose",
                "if below is not None and not extent.settled:",
                "if False:",
            )
        ],
        finds=False,
        why="lost a command (start 3 of ring4) until a boot's run came before a snapshot: not found in 30,000 states since",
    ),
    Fault(
        "reads_what_is_covered",
        "where a run begins right behind the newest snapshot, the one before is not read: its "
        "sector may be half erased",
        [("recovery", "_skim", "header.seq + 1).head", "header.seq).head")],
        fails=1,
        plan=Plan((25,), (("snapshot", "put"),), (), _each(11, "dies")),
    ),
    Fault(
        "hole_in_the_order",
        "behind a sector that cannot be erased, too, the log's beginning may be half erased",
        [("recovery", "_find_order", "elif sector not in found.bad and", "elif True or")],
        fails=1,
        finds=False,
        why="found in 37,000 states of ring4 (start 0, seven boots, a program that fails): too deep for a plan",
    ),
    Fault(
        "number_below_another",
        "a run's number is greater than any that a header bears",
        [("settle", "_blocks_of", "number + block > store.found.newest and", "")],
        world="blocks2",
        fails=1,
        plan=Plan(
            (3,),
            (("put",), ("group",), ("step",)),
            ("operation 1, .*either", "operation 12, .*either", "off"),
            ((6, "whole"),),
        ),
    ),
    Fault(
        "erased_one_covers",
        "what a snapshot without a name covered is covered no more once it is written over",
        [("store", "Store._saver", "self.taken = -1", "pass")],
        finds=False,
        why="not found in 27,000 states",
    ),
    Fault(
        "failing_call_costs_sectors",
        "a flash that fails for one call costs no sector",
        [("store", "Store._next_run", "self.bad[:] = bad", "pass")],
        fails=1,
        finds=False,
        why="one operation of a boot fails here, not a whole call",
    ),
    Fault(
        "copied_sector_counts",
        "a header whose number does not lead to its own place is none",
        [("region", "Region.numbers", "elif self.header_at(u32(data, 4)) == at:", "else:")],
        finds=False,
        why="no sector is copied here",
    ),
]


_RULES = "tests/log/test_rules.py::"
_CASES = "tests/log/test_recovery_cases.py::"
_SAME = "tests/docs/test_same_reading.py::test_the_page_and_the_kernel_make_the_same_of_every_image"
_LIVES = "tests/faults/test_breakages.py::test_the_store_as_it_is_survives"

# of faults that the explorer does not find: the test that turns red instead
HELD = {
    "holds_by_its_repeats": "tests/log/test_pile.py",
    "pile_stays": _RULES + "test_of_a_pile_of_two_both_are_erased",
    "newest_of_three": _SAME,
    "pile_sector_taken": _LIVES + "[piles]",
    "base_by_headers_alone": _RULES + "test_a_run_has_a_greater_number_than_any_record_bears",
    "pull_the_uncertain_when_full": _LIVES + "[torn_and_full]",
    "older_slot_by_its_header": _RULES + "test_the_snapshot_that_stays_is_hashed_first",
    "blank_without_an_erase": _RULES + "test_a_sector_is_erased_before_it_is_used",
    "no_reserve": _CASES + "test_three_sectors_are_kept_for_the_runs_of_boots",
    "reserve_for_everyone": _LIVES + "[torn_and_full]",
    "half_erased_oldest_counts": _SAME,
    "no_quarantine": _CASES + "test_a_program_that_fails_is_done_again_in_the_next_sector",
    "acknowledged_at_once": _RULES + "test_an_acknowledgement_counts_what_is_certain",
    "name_forgotten": _RULES + "test_a_name_holds_although_the_state_is_that_of_an_earlier_frame",
    "newer_by_seq": _RULES + "test_the_newer_of_two_snapshots_has_the_greater_generation",
    "unnamed_covers": _RULES
    + "test_without_a_name_snapshots_do_not_cover_a_log_that_has_its_beginning",
    "one_covers_nothing": _RULES
    + "test_the_only_snapshot_covers_once_it_is_named_and_the_beginning_gone",
    "pile_is_certain": _SAME,
    "hole_in_the_order": _SAME,
    "copied_sector_counts": _RULES + "test_a_header_that_was_copied_from_elsewhere_is_none",
    "unknown_stay": _RULES
    + "test_a_sector_without_a_record_is_erased_before_a_boots_run_is_numbered",
    "in_an_unsettled_sector": _RULES
    + "test_a_boots_run_does_not_go_to_a_sector_that_may_be_half_erased",
    "failing_call_costs_sectors": "tests/faults/test_sectors.py"
    "::test_a_transient_failure_is_over_when_it_is_over",
    "erased_one_covers": _RULES + "test_what_is_written_over_covers_no_more",
}


def named(name):
    return next(each for each in FAULTS if each.name == name)


def reads_before_the_end(name):
    """Return whether, with a fault put back, the state at the log's end still depends on nothing
    behind it: see tools/history/memo.py."""
    return all(module != "reader" for module, *_ in named(name).changes)


def put_back(fault, patch=setattr):
    """Put a fault back into the running kernel. patch: setattr, or pytest's monkeypatch.setattr."""
    if len({change[:2] for change in fault.changes}) < len(fault.changes):
        raise ValueError(
            "%s changes a function twice: the second change would undo the first" % fault.name
        )
    for module, where, old, new in fault.changes:
        name = "shared_kernel." + module
        here = importlib.import_module(name)
        source = (SOURCES / (module + ".py")).read_text()
        node = ast.parse(source)
        outer = None
        for part in where.split("."):
            outer, node = (
                node,
                next(each for each in node.body if getattr(each, "name", None) == part),
            )
        text = textwrap.dedent("\n".join(source.split("\n")[node.lineno - 1 : node.end_lineno]))
        scope = {}
        text = mutate(text, old, new, "%s: %s.%s" % (fault.name, module, where))
        exec(compile(text, str(SOURCES / (module + ".py")), "exec"), here.__dict__, scope)
        if isinstance(node, ast.ClassDef):  # its methods, into the class as others have it
            for each, value in vars(scope[node.name]).items():
                if callable(value):
                    patch(getattr(here, node.name), each, value)
        elif "." in where:
            patch(getattr(here, outer.name), node.name, scope[node.name])
        else:
            for each in [
                shared_kernel,
                *[
                    m
                    for n, m in list(importlib.sys.modules.items())
                    if n.startswith("shared_kernel.")
                ],
            ]:
                if getattr(each, node.name, None) is getattr(here, node.name) and each is not here:
                    patch(each, node.name, scope[node.name])
            patch(here, node.name, scope[node.name])
