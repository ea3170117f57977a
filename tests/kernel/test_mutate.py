"""The finder of pieces that mutations break: by tokens, exactly once, over any form of the same
source."""

import pytest

from tests.mutate import find, mutate

SOURCE = """def act(a, b):
    if a < b and (
        b
    ):  # why
        return [
            a,
            b,
        ]
    return "a b"
"""


def test_a_piece_is_found_in_any_form():
    for piece in (
        "if a < b and (b):",
        "if a<b and (b)  :\n",
        "        return [a, b]\n",
        "return [a,\n b,\n]",
        '"a b"',
    ):
        assert len(find(SOURCE, piece)) == 1, piece


def test_another_piece_is_not():
    for piece in ("if a <= b", "return [b, a]", '"a  b"', "ret", "a b"):
        assert find(SOURCE, piece) == [], piece


def test_what_stands_there_twice_or_never_is_refused():
    for piece in ("return", "else", "", "# why"):
        with pytest.raises(AssertionError):
            mutate(SOURCE, piece, "pass")


def test_the_rest_of_the_source_stays():
    broken = mutate(SOURCE, "        return [a, b]\n", "        a = 1\n        return [a]\n")
    assert broken == SOURCE.replace(
        SOURCE[SOURCE.index("return [") : SOURCE.index("]") + 1], "a = 1\n        return [a]"
    )
    scope = {}
    exec(broken, scope)
    assert scope["act"](0, 1) == [1]


def test_a_division_is_no_comment():
    assert mutate("a = (b + 3) // 4\n", "a = (b + 3) // 4", "a = b // 4") == "a = b // 4\n"


def test_in_c_too():
    source = "    for (int i = 0; i < n;\n         i++) { // all\n        sum += a[i];\n    }\n#define X 1\n"
    assert mutate(source, "i < n; i++", "i <= n; i++", c=True).startswith(
        "    for (int i = 0; i <= n; i++) { // all"
    )
    assert len(find(source, "#define X 1", c=True)) == 1
