# What the image of ADAFRUIT_ITSYBITSY_M4_EXPRESS with Quipu freezes. Never more than the boards of
# this port share, and this board's facts.
include("../samd/quipu.py")
module("board_facts.py")
