# What the image of MPS2_AN386 with Quipu freezes. Never more than the emulated boards share.
include("../emulated/quipu.py")
