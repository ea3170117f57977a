// Names and addresses of MPS2_AN385, after ARM's application note for this FPGA image. Never
// configures MicroPython.
#define MICROPY_HW_BOARD_NAME "MPS2_AN385"
#define MICROPY_HW_MCU_NAME "Cortex-M3"
#define MICROPY_HW_HEAP_SIZE (512 * 1024)
#define MICROPY_HW_FLASH_ADDR (0x21000000) // the PSRAM
#define SOC_IRQ_UART (0)
#define SOC_IRQ_WAKE (9) // timer 1
