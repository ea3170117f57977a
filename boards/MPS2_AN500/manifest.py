# What the image of MPS2_AN500 with Quipu freezes. Never more than the emulated boards share.
include("../emulated/quipu.py")
