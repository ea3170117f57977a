# What the image of RPI_PICO with Quipu freezes. Never more than the boards of this port share, and
# this board's facts.
include("../rp2/quipu.py")
module("board_facts.py")
