"""Tests that cannot fail prove nothing: each line below breaks one line of the archive's code, and
the test it names goes red.

The host's package is copied with one piece of its text replaced, and the named test is run on the
copy in a process of its own. A mutation whose text no longer stands there is an error: look for
what the test protects now, and break that."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import quick
from tests.mutate import mutate

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "host"

FORK = "test_merge.py::test_a_fork_is_named_by_the_seq_where_it_begins"
EARLY = "test_merge.py::test_a_fork_before_the_first_frame_that_both_hold"
UNION = "test_merge.py::test_random_ranges_of_both_sides_make_the_union"
STEPS = "test_merge.py::test_a_break_before_or_after_any_step_on_the_disk"
INDEXED = "test_merge.py::test_an_index_of_before_knows_what_filled_a_gap"
MEANWHILE = "test_merge.py::test_a_source_that_is_altered_meanwhile_gives_nothing_wrong"
SNAPSHOT = "test_merge.py::test_a_damaged_snapshot_is_left_out_and_said"
LOGS = "test_merge.py::test_archives_of_two_logs"
FULL = "test_merge.py::test_a_full_disk_leaves_a_valid_archive_and_is_said"
LATER = "test_merge.py::test_the_later_note_stays"
SAFE = "test_sync.py::test_a_sync_of_nothing_new_says_again_that_all_is_safe"
LITTLE = "test_sync.py::test_a_sync_of_nothing_new_costs_under_200_bytes_and_no_frame"
LIVE = "test_live.py::test_asking_changes_nothing_on_the_board_and_leaves_no_file"
VERBS = "test_past_answers.py::test_every_verb_at_every_moment_is_the_replays"
STATES = "test_past_answers.py::test_questions_over_a_state_and_differences_are_those_of_the_replay"
FITTING = "test_index.py::test_a_frame_altered_with_a_fitting_crc_is_refused"
VERSIONS = "test_history.py::test_every_version_at_every_moment_is_the_one_of_the_replay"
ROWS = "test_index_damage.py::test_case_10_rows_that_are_gone_or_changed_are_named"
OTHER = "test_index_damage.py::test_case_10_another_keys_frame_is_no_version_of_this_one"
TICK = "test_index_damage.py::test_case_10_a_place_with_another_tick_is_named"
BOMB = "test_index_damage.py::test_case_10_a_kept_state_never_grows_beyond_its_configuration"
ALLOWED = "test_limits.py::test_case_24_what_is_allowed_is_made"
CONTAINER = "test_limits.py::test_the_memory_of_a_container_is_the_limit_too"
ONE_DOOR = "test_limits.py::test_json_is_read_by_one_door"
CHART = "test_limits.py::test_case_11_a_number_beyond_a_float_breaks_no_report"
DOORS = "test_limits.py::test_case_31_every_other_door_refuses_it_too"
LENGTHS = "test_lying_board.py::test_case_30_an_answer_of_another_length_is_a_link_error"
TYPES = "test_lying_board.py::test_case_30_each_field_of_info_has_a_type_and_a_range"
NO_END = "test_lying_board.py::test_case_30_a_log_without_an_end_is_left"
VAST = "test_lying_board.py::test_case_30_a_snapshot_of_4_gib_is_not_pulled"
KEPT = "test_lying_board.py::test_case_30_an_answer_that_is_kept_has_a_longest_length"
DELETED = "test_query_language.py::test_what_was_deleted_is_there_on_request"
TIMES = "test_query_language.py::test_each_row_has_the_time_of_its_frame_and_whose_it_is"
AS_TEXT = "test_query_language.py::test_a_time_is_compared_with_text"
PLACED = "test_query_language.py::test_what_is_not_there_is_placed"
OFFSET = "test_query_language.py::test_distinct_offset_and_limit"
LONG = "test_query_language.py::test_an_expression_never_takes_long"
MCAP = "test_query_language.py::test_a_message_stands_at_the_time_of_its_frame"
ALONG = "test_report_page.py::test_frames_stand_at_their_times"
PLANE = "test_report_page.py::test_a_plane_keeps_what_differs_most"
BEFORE_A_GAP = "test_moments.py::test_a_time_is_found_before_a_gap"
ALTERED_VERSION = "test_history.py::test_an_altered_version_is_refused"
DOUBTFUL = "test_index.py::test_what_only_the_index_can_tell_from_the_frames_is_not_answered"
LATER_DAMAGE = "test_index.py::test_damage_that_came_after_the_index_ends_what_is_answered"

MUTATIONS = [  # file, text, what it becomes, the test that must fail
    ("archive/join", "                low = middle\n", "                low = middle + 1\n", FORK),
    (
        "archive/join",
        "        return Fork(high, True), compared\n",
        "        return Fork(low, True), compared\n",
        FORK,
    ),
    ("archive/join", "        if a.head(low) != b.head(low):\n", "        if False:\n", EARLY),
    (
        "archive/join",
        "                first = theirs.last + 1\n",
        "                first = theirs.last\n",
        UNION,
    ),
    (
        "archive/join",
        "                yield run, first, theirs.segment.first - 1\n",
        "                pass\n",
        UNION,
    ),
    (
        "archive/join",
        "        for each in ranges:\n            self._range(*each)\n",
        "        self._note()\n        for each in ranges:\n            self._range(*each)\n",
        STEPS,
    ),
    (
        "archive/join",
        "                chain.step(frame)\n",
        "                chain.seq += 1\n",
        MEANWHILE,
    ),
    (
        "archive/join",
        "                header, _ = snapshot_file.load(data)\n",
        "                from shared_kernel import snapshot\n                header = "
        "snapshot.decode(data)\n",
        SNAPSHOT,
    ),
    ("archive/join", "        if theirs.log != ours.log:\n", "        if False:\n", LOGS),
    ("archive/join", "(ours.seq, ours.time) > (theirs.seq, theirs.time)", "True", LATER),
    ("archive/files", "if disk.strange(each) or disk.size(each)", "if True", STEPS),
    (
        "archive/disk",
        "    except OSError as e:\n        if e.errno in _NO_ROOM:\n            advice",
        "    except KeyError as e:\n        if e.errno in _NO_ROOM:\n            advice",
        FULL,
    ),
    ("past/index", "last < segment.first and", "False and", INDEXED),
    (
        "board/sync",
        "            if board.acknowledge(note.seq + 1) != note.seq:\n",
        "            if False:\n",
        SAFE,
    ),
    ("board/sync", "(same := _nothing_new(board, existing))", "(same := None)", LITTLE),
    (
        "board/sync",
        "        pulling.all(",
        "        board.checkpoint()\n        pulling.all(",
        LIVE,
    ),
    (
        "past/index",
        "                replay.step(frame)\n                if seq % PLACE_EVERY",
        "                replay.seq = seq\n                if seq % PLACE_EVERY",
        VERBS,
    ),
    (
        "past/index",
        '"SELECT * FROM kept WHERE seq <= ? ORDER BY seq DESC LIMIT 1"',
        '"SELECT * FROM kept WHERE seq > ? ORDER BY seq LIMIT 1"',
        VERBS,
    ),
    ("past/index", "        self._prove(replay, seq)\n", "", FITTING),
    (
        "past/index",
        "        if digest(frame) != mark or u32(frame, 4) != seq:\n",
        "        if False:\n",
        ALTERED_VERSION,
    ),
    (
        "past/diff",
        "for ident, each in theirs.items() if ident not in ours]",
        "for ident, each in theirs.items()]",
        STATES,
    ),
    (
        "past/memory",
        "        if damage.what not in _OF_THE_FRAME or not index.damage or index.damage.seq != "
        "damage.seq:\n",
        "        if False:\n",
        DOUBTFUL,
    ),
    (
        "past/memory",
        "            self.distrust(e)\n            return moment()\n",
        "            raise\n",
        LATER_DAMAGE,
    ),
    ("cli/source", "            if memory.damage:\n", "            if False:\n", LATER_DAMAGE),
    ("past/query", "if test(row)]", "if test(row) or row]", STATES),
    ("past/history", "            if after.previous != due:\n", "            if False:\n", ROWS),
    ("past/history", "    if told != there and not", "    if False and not", ROWS),
    ("past/index", "        if later is None and last != ", "        if False and last != ", ROWS),
    ("past/index", "        if [each.nth for each in found] != numbers or", "        if", ROWS),
    (
        "past/index",
        "        if [nth for nth, *_ in found] != list(",
        "        if [] != list(",
        ROWS,
    ),
    (
        "past/index",
        "            if sealed != rows.seal(at, place, head, boot, root):\n",
        "            if False:\n",
        ROWS,
    ),
    (
        "past/index",
        "                if odd := rows.foreign(self.db):\n",
        "                if odd := 0:\n",
        ROWS,
    ),
    (
        "past/index",
        "        if tick_of(next(self.frames(found.seq))) != found.tick:\n",
        "        if False:\n",
        TICK,
    ),
    ("past/index", ", size - 63)", ")", BOMB),
    (
        "past/index",
        "        if not rows.may_change(frame, change.seq, rows.thing_of(kind, ident)) or (\n",
        "        if False and (\n",
        OTHER,
    ),
    (
        "past/rows",
        "    if sealed != str(seal(text)):\n",
        "    if False:\n",
        ROWS,
    ),
    ("limits", "    if size > _SMALL and size > (", "    if False and size > (", ALLOWED),
    (
        "limits",
        "        found.append(most - int(",
        "        found.append(_UNKNOWN + int(",
        CONTAINER,
    ),
    ("limits", "    except RecursionError:\n", "    except KeyError:\n", ONE_DOOR),
    ("board/answers", "    if len(data) != 4 * count:\n", "    if False:\n", LENGTHS),
    (
        "board/answers",
        "        if name in facts and not fits(",
        "        if False and not fits(",
        TYPES,
    ),
    ("board/sync", "        if self.result.log_bytes + len(data) > ", "        if 0 > ", NO_END),
    ("board/sync", "        if found.length == due:\n", "        if True:\n", VAST),
    ("board/link", "len(told) != 8 or u32(told, 0) > _LONGEST", "len(told) != 8", KEPT),
    ("formats/report", "found is None or not -_CHARTED < found < _CHARTED", "found is None", CHART),
    ("past/query", "            if len(token) > _LONGEST:\n", "            if False:\n", DOORS),
    ("past/dated", "        if seq > until:\n", "        if seq > until - 9:\n", DELETED),
    ("past/dated", "timeline.span(seq).at(tick)", "timeline.span(seq).at(0)", TIMES),
    ("past/query", "return found if isinstance(found, int) else found[0]", "return 0", AS_TEXT),
    ("past/query", " else rows + missing\n", " else missing + rows\n", PLACED),
    ("past/query", "[query.offset : end]\n\n\ndef", "[:end]\n\n\ndef", OFFSET),
    ("past/patterns", "        if self._left < 0:\n", "        if False:\n", LONG),
    (
        "formats/mcap_file",
        "            while place + 1 < len(spans) and",
        "            while False and",
        MCAP,
    ),
    ("formats/report", "self._at = self._at if found is None else found", "self._at = seq", ALONG),
    ("formats/report", "at - before > (along.high", "at - before < (along.high", ALONG),
    ("formats/vectors", "    rows = [[a - b for", "    rows = [[a + b for", PLANE),
    ("past/moment", "min(after - 1, end)", "after - 1", BEFORE_A_GAP),
    (
        "past/history",
        "        value = value if version.same else version.value\n",
        "        value = version.value\n",
        VERSIONS,
    ),
]


def run(test, package):
    """Run one test on a copy of the package; return the finished process."""
    path = f"{package.parent} {ROOT}"
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-o",
            f"pythonpath={path}",
            f"tests/host/{test}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def package(tmp_path):
    return shutil.copytree(
        HOST / "quipu",
        tmp_path / "host" / "quipu",
        ignore=shutil.ignore_patterns("compiled", "__pycache__"),
    )


@pytest.mark.parametrize("name, old, new", [each[:3] for each in MUTATIONS])
def test_the_piece_is_there(name, old, new):
    mutate((HOST / "quipu" / f"{name}.py").read_text(), old, new, name)


@pytest.mark.parametrize("name, old, new, test", quick.some(MUTATIONS, 4))
def test_a_broken_line_is_told(package, name, old, new, test):
    file = package / f"{name}.py"
    file.write_text(mutate(file.read_text(), old, new, name))
    done = run(test, package)
    assert done.returncode == 1 and " failed" in done.stdout, (
        done.stdout[-2000:] + done.stderr[-2000:]
    )
    assert "SyntaxError" not in done.stdout and "NameError" not in done.stdout
