// NUCLEO_F767ZI with Quipu is MicroPython's own board: in its configuration nothing differs.
#include "boards/NUCLEO_F767ZI/mpconfigboard.h"
