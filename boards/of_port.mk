# What a board with Quipu takes from MicroPython's own board of that name: pins, clocks, C files, linker scripts. A board's mpconfigboard.mk
# includes this first, and then says what differs. Never names a board or a port.
QUIPU_BOARD := $(patsubst %/,%,$(BOARD_DIR))
override BOARD_DIR := boards/$(notdir $(QUIPU_BOARD))
include $(BOARD_DIR)/mpconfigboard.mk

# This folder's mpconfigboard.h is found before the port's, which it includes.
INC += -I$(QUIPU_BOARD)
FROZEN_MANIFEST := $(QUIPU_BOARD)/manifest.py
