"""The commands that ask an archive what was, as a person or a script runs them."""

import json

import pytest
from quipu.archive.files import Archive

from shared_kernel import frames, primitives
from tests.host.past import START, Log
from tests.host.test_cli import NOWHERE, answer, error, flip, quipu


@pytest.fixture
def folder(tmp_path):
    log = Log()
    log.clock(START, 5, 1000)  # 1
    log.insert(1, 2, 5, b"one")  # 2
    log.put("mode", "slow")  # 3
    log.put("mode", "fast")  # 4
    return log.archive(tmp_path / "a", START + 1000)


def test_a_value_now_and_then_with_the_moment_and_its_uncertainty(folder):
    assert quipu("get", folder, "mode") == "fast\nat seq 4, 2023-11-14 22:13:20.030 UTC ± 6 ms\n"
    assert quipu("get", folder, "mode", "--at", 3).startswith("slow\nat seq 3,")
    told = answer("get", folder, "mode", "--at", "2023-11-14T22:13:20.029Z")
    assert told["value"] == "slow"
    assert (
        told["moment"] == {"seq": 3, "unix_ms": START + 20, "uncertainty_ms": 6, "others": []}
        and told["damage"] is None
    )


def test_history_diff_explain_query_and_index(folder):
    assert [each["value"] for each in answer("history", folder, "mode")["versions"]] == [
        "fast",
        "slow",
    ]
    assert answer("diff", f"{folder}@3", folder)["keys"]["changed"][0]["fields"]["value"] == [
        "slow",
        "fast",
    ]
    assert [each["type"] for each in answer("explain", folder, "record:2")["frames"]] == ["insert"]
    rows = quipu("query", folder, "keys", "--where", 'value = "fast"', "--format", "jsonl")
    assert json.loads(rows) == {
        "name": "mode",
        "name_hex": "6d6f6465",
        "seq": 4,
        "value": "fast",
        "value_hex": "66617374",
        "time": "2023-11-14T22:13:20.030Z",
        "uncertainty_ms": 6,
        "board": "past/1",
        "log": answer("verify", folder)["log"],
    }
    assert answer("search", folder, 1, 2, "--at", 2)["results"] == [
        {"id": 2, "distance": 0, "l2": 0.0}
    ]
    assert answer("index", folder, "--rebuild")["seq"] == 4


@pytest.mark.parametrize(
    "arguments, code, says",
    (
        (("get", "mode", "--at", "99"), 2, "its frames are seq 0 to 4"),
        (("get", "mode", "--at", "noon"), 2, "is no moment"),
        (("get", "none"), 1, "no key has the name"),
        (("get", "mode", "--at", "2020-01-01T00:00Z"), 2, "before the archive begins"),
        (("get", "mode", "--at", "2033-01-01T00:00Z"), 2, "after the archive's end"),
        (("query", "keys", "--where", "value ="), 2, "character 8 on"),
        (("query", "keys", "--format", "arrow"), 2, "-o"),
    ),
)
def test_errors_have_their_exit_codes(folder, arguments, code, says):
    assert says in error(arguments[0], folder, *arguments[1:], code=code)[1]


def test_a_port_is_asked_for_now_only():
    assert "sync it" in error("get", NOWHERE, "mode", "--at", 3, code=2)[1]


def test_a_damaged_archive_answers_what_is_proved_with_exit_code_1(folder):
    file = folder / "frames" / "0000000000.log"
    flip(file, file.stat().st_size - 6)
    told = answer("get", folder, "mode", code=1)
    assert told["value"] == "slow" and "seq 4: frame CRC" in told["damage"]
    assert error("get", folder, "mode", "--at", 4, code=1)[0] == "ArchiveDamage"


@pytest.mark.parametrize("indexed", (True, False))
def test_damage_that_an_index_of_before_knows_nothing_of(folder, indexed):
    if indexed:
        answer("get", folder, "mode")
    file = folder / "frames" / "0000000000.log"
    flip(file, sum(len(each) for each in list(Archive(folder).frames())[:3]) + 14)
    told = answer("record", folder, 2, code=1)
    assert told["moment"]["seq"] == 2 and "seq 3: frame CRC" in told["damage"]
    assert answer("state", folder, "--at", 1, code=1)["seq"] == 1
    assert answer("diff", f"{folder}@1", folder, code=1)["b"]["seq"] == 2
    kind, message = error("get", folder, "mode", code=1)
    assert (
        kind == "NotFound"
        and "at seq 2; damaged after that: " in message
        and "seq 3: frame CRC" in message
    )
    assert error("get", folder, "mode", "--at", 3, code=1)[0] == "ArchiveDamage"


def test_a_frame_altered_with_a_fitting_crc_is_refused_where_only_the_index_can_tell(folder):
    answer("get", folder, "mode")
    archive = Archive(folder)
    parts = [bytearray(each) for each in archive.frames()]
    parts[2][-7] ^= 1
    parts[2][-4:] = frames.words_bytes((primitives.crc32(parts[2][:-4], frames.seed(archive.log)),))
    (folder / "frames" / "0000000000.log").write_bytes(b"".join(parts))
    for question in (("record", folder, 2), ("state", folder, "--at", 2), ("get", folder, "mode")):
        kind, message = error(*question, code=1)
        assert kind == "ArchiveDamage" and "chain head" in message
