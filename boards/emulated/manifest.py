# What every emulated board freezes, with or without Quipu. Never names Quipu's own files: see
# quipu.py.
# ruff: noqa: F821 (MicroPython's build defines what is called here)
module("_boot.py", opt=3)
include("$(MPY_DIR)/extmod/asyncio")
