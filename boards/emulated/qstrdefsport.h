// Strings that the C code names by MP_QSTR_ and that are no identifiers, so that MicroPython's scan
// cannot find them. Never holds code.
// clang-format off: to it this is a division
Q(/lib)
