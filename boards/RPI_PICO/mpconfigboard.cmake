# How the image of RPI_PICO with Quipu is built. Never says where the log is: board_facts.py does.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
