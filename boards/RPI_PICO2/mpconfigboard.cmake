# How the image of RPI_PICO2 with Quipu is built. Never says where the log is: board_facts.py does.
set(PICO_BOARD "pico2")
set(PICO_PLATFORM "rp2350")
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
