# For a build of MicroPython's stm32 port: make -C ports/stm32 BOARD=... USER_C_MODULES=.../boards/stm32
QUIPU_FLASH_DIR := $(USERMOD_DIR)
SRC_USERMOD_C += $(QUIPU_FLASH_DIR)/quipu_flash.c
