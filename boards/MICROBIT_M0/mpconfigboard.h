// Names and numbers of MICROBIT_M0: QEMU's micro:bit machine with larger memories. Never configures
// MicroPython.
#define MICROPY_HW_BOARD_NAME "MICROBIT_M0"
#define MICROPY_HW_MCU_NAME "Cortex-M0"
#define MICROPY_HW_HEAP_SIZE (512 * 1024)
// On the nRF51 a peripheral's line follows from its address.
#define SOC_IRQ_UART (2)
#define SOC_IRQ_WAKE (8) // timer 0
