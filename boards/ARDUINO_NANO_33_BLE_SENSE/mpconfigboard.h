// ARDUINO_NANO_33_BLE_SENSE with Quipu is MicroPython's own board: in its configuration nothing
// differs.
#include "boards/ARDUINO_NANO_33_BLE_SENSE/mpconfigboard.h"
