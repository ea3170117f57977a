# What the image of MPS2_AN385 with Quipu freezes. Never more than the emulated boards share.
# ruff: noqa: F821 (MicroPython's build defines what is called here)
include("../emulated/quipu.py")
