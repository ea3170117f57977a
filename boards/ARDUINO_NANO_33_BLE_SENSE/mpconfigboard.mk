# How the image of ARDUINO_NANO_33_BLE_SENSE with Quipu is built: with the log between the filesystem and the bootloader.
include $(BOARD_DIR)/../of_port.mk
LD_FILES += $(QUIPU_BOARD)/log_region.ld
