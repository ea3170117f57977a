# How the image of NUCLEO_F767ZI with Quipu is built: with the log's sectors kept free, and the C module that writes them.
include $(BOARD_DIR)/../of_port.mk
LD_FILES += $(QUIPU_BOARD)/log_region.ld
USER_C_MODULES := $(QUIPU_BOARD)/../stm32
