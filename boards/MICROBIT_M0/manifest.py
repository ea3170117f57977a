# What the image of MICROBIT_M0 with Quipu freezes. Never more than the emulated boards share.
include("../emulated/quipu.py")
