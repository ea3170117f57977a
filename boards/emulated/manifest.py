# What every emulated board freezes, with or without Quipu. Never names Quipu's own files: see quipu.py.
module("_boot.py", opt=3)
include("$(MPY_DIR)/extmod/asyncio")
