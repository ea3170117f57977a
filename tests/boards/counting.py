"""How tests and benchmarks count instructions on an emulated board that was started with icount:
one a virtual nanosecond."""

# For the board: cost(act) is what a call of act() takes, the emulation of the flash taken off.
# Counts are on the heap once they pass 2^30, and how long that takes depends on what lies there: so
# each has its own zero.
COST = """
import emulated
def taken(act):
    a = emulated.instructions(); f = emulated.flash_instructions()
    act()
    b = emulated.instructions(); g = emulated.flash_instructions()
    return b - a - (g - f)
def nothing(): pass
def cost(act):
    gross = taken(act)
    return gross - taken(nothing)
"""
