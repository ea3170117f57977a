# How the image of PYBV11 with Quipu is built. No flash is reserved: its log is a file on the card.
include $(BOARD_DIR)/../of_port.mk
