// PYBV11 with Quipu is MicroPython's own board: in its configuration nothing differs.
#include "boards/PYBV11/mpconfigboard.h"
