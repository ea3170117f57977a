# How the image of ADAFRUIT_ITSYBITSY_M4_EXPRESS with Quipu is built. The log is on the QSPI part, where the boot file leaves it room.
include $(BOARD_DIR)/../of_port.mk
