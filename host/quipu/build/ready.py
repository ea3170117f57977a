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
_HOW = (
    "`make images` builds all images on Linux, in a checkout of Quipu or in its sdist unpacked "
    f"(quipu_mcu-VERSION.tar.gz). Then set {VARIABLE} to the folder build/images there"
)


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
                f"there is no image of {board} here, and an installed Quipu brings none. {_HOW}, "
                f"or copy it to {resources.cache() / 'images'}. A real board needs no image: quipu "
                f"flash PORT. (Looked for: {found}; {VARIABLE} is not set; no checkout is around "
                f"{Path.cwd()})"
            ) from None
        return found
    return images.image(board, frozen)
