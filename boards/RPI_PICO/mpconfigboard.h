// The Pico's name, and how much of its flash of 2 MiB is storage: the filesystem and, behind it,
// the log. As much as in stock firmware.
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico"
#define MICROPY_HW_FLASH_STORAGE_BYTES (1408 * 1024)
