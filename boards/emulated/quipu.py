# Freezes Quipu into a board's image, for its manifest.py to include. On the board, firmware/quipu
# is the package
# `quipu`: the same name that a person imports on the laptop. Never lists single files: what is in
# the folder is frozen.
# ruff: noqa: F821 (MicroPython's build defines what is called here)
include("manifest.py")
package("shared_kernel", base_path="../..")
package("quipu", base_path="../../firmware")
module("board_facts.py", base_path="$(BUILD)")
