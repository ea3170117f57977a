// The Pico 2's name, and how much of its flash of 4 MiB is storage: the filesystem and, behind it,
// the log. As much as in stock firmware.
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico2"
#define MICROPY_HW_FLASH_STORAGE_BYTES (3072 * 1024)
