# What the image of ARDUINO_NANO_33_BLE_SENSE with Quipu freezes. Never more than the boards of this
# port share, and this board's facts.
include("../nrf/quipu.py")
module("board_facts.py")
