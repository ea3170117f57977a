// ADAFRUIT_ITSYBITSY_M4_EXPRESS with Quipu is MicroPython's own board: in its configuration nothing
// differs.
#include "boards/ADAFRUIT_ITSYBITSY_M4_EXPRESS/mpconfigboard.h"
