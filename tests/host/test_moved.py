"""The modules of the flat package, whose places changed: an import by an old name says where the
module is now."""

import importlib

import pytest
import quipu
from quipu import moved


@pytest.mark.parametrize("old", sorted(moved.PLACES))
def test_the_new_place_of_each_module_exists(old):
    importlib.import_module(f"quipu.{moved.PLACES[old]}")


@pytest.mark.parametrize("old", sorted(moved.PLACES.keys() - {"archive", "board"}))
def test_an_import_by_an_old_name_says_the_new_one(old):
    with pytest.raises(
        ModuleNotFoundError, match=f"^quipu.{old} is now quipu.{moved.PLACES[old]}$"
    ):
        importlib.import_module(f"quipu.{old}")


@pytest.mark.parametrize(
    "line, place",
    [
        ("from quipu.link import Link", "quipu.board.link"),
        ("import quipu.render_past", "quipu.cli.past"),
        ("from quipu.board import Board", "quipu.board.board.Board"),
        ("from quipu.board import connect", "quipu.board.board.connect"),
        ("from quipu.archive import Chain", "quipu.archive.files.Chain"),
    ],
)
def test_a_line_of_old_says_where_its_names_are(line, place):
    with pytest.raises(ImportError, match=f"is now {place}"):
        exec(line, {})


def test_an_attribute_by_an_old_name_says_the_new_one():
    with pytest.raises(AttributeError, match="'serial_port': it is now quipu.board.serial_port"):
        quipu.serial_port  # noqa: B018  (the question is the point)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'$"):
        quipu.nothing  # noqa: B018


def test_what_was_never_there_is_an_ordinary_error():
    with pytest.raises(ModuleNotFoundError, match="^No module named 'quipu.nothing'$"):
        importlib.import_module("quipu.nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from quipu.archive import nothing", {})


def test_the_public_names_are_all_there():
    assert all(hasattr(quipu, name) for name in quipu.__all__)
