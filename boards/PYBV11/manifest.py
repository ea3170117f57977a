# What the image of PYBV11 with Quipu freezes. Never more than the boards of this port share, and
# this board's facts.
include("../stm32/quipu.py")
module("board_facts.py")
