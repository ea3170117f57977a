"""Finds the image of an emulated board: where QUIPU_IMAGES says, in a checkout, which builds it, or
in the user's cache folder.

The folders have BOARD/quipu/firmware.elf, with Quipu in it, and BOARD/bare/firmware.elf, plain
MicroPython, as build/images of a checkout."""

import os
from pathlib import Path

from quipu import resources
from quipu.build import images

VARIABLE = "QUIPU_IMAGES"
NAME = "firmware.elf"
_HOW = f"In a checkout of Quipu, `make images` builds all images; set {VARIABLE} to the folder build/images in it"


def image(board: str, frozen: bool = True) -> Path:
    """Return the image of an emulated board.

    board: its folder in boards/.
    frozen: with Quipu in it; False: plain MicroPython.
    ImageError if there is none and no checkout to build it in: it says how to get one.
    """
    images.board_facts(board)  # refuses an unknown board
    wanted = Path(board) / ("quipu" if frozen else "bare") / NAME
    if named := os.environ.get(VARIABLE):
        found = Path(named).expanduser() / wanted
        if not found.is_file():
            raise images.ImageError(f"{VARIABLE} is {named}, and there is no {found}. {_HOW}")
        return found.resolve()
    try:
        images.checkout_root()
    except images.ImageError:
        found = resources.cache() / "images" / wanted
        if not found.is_file():
            raise images.ImageError(
                f"there is no image of {board}: {found} does not exist, {VARIABLE} is not set, "
                f"and no checkout of "
                f"Quipu, where one would be built, is around {Path.cwd()}. {_HOW}, or copy "
                f"that folder to {resources.cache() / 'images'}"
            ) from None
        return found
    return images.image(board, frozen)
