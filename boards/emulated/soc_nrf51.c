// QEMU's micro:bit machine (nRF51): serial port, wake-up timer, and a host file, reached by
// semihosting, that serves as flash, for the machine has no memory that outlives QEMU. Never
// enforces flash rules: flash.c does.
//
// Registers: Nordic, "nRF51 Series Reference Manual" 3.0; ARM, "Semihosting for AArch32 and
// AArch64".

#include <string.h>
#include "mpconfigboard.h"
#include "soc.h"

#define REG(address) (*(volatile uint32_t *)(address))

#define UART_STARTRX REG(0x40002000)
#define UART_STARTTX REG(0x40002008)
#define UART_RXDRDY REG(0x40002108)
#define UART_TXDRDY REG(0x4000211C)
#define UART_INTENSET REG(0x40002304)
#define UART_INTENCLR REG(0x40002308)
#define UART_ENABLE REG(0x40002500)
#define UART_RXD REG(0x40002518)
#define UART_TXD REG(0x4000251C)
#define UART_INT_RXDRDY (1u << 2)
#define UART_ENABLED (4)

#define TIMER_START REG(0x40008000)
#define TIMER_STOP REG(0x40008004)
#define TIMER_CLEAR REG(0x4000800C)
#define TIMER_COMPARE0 REG(0x40008140)
#define TIMER_INTENSET REG(0x40008304)
#define TIMER_BITMODE REG(0x40008508)
#define TIMER_PRESCALER REG(0x40008510)
#define TIMER_CC0 REG(0x40008540)
#define TIMER_INT_COMPARE0 (1u << 16)
#define TIMER_32_BIT (3)
#define TIMER_1_MHZ (4) // 16 MHz / 2^4

#define SYS_OPEN (0x01)
#define SYS_WRITE (0x05)
#define SYS_READ (0x06)
#define SYS_SEEK (0x0A)
#define SYS_GET_CMDLINE (0x15)
#define OPEN_READ_WRITE_BINARY (3) // "r+b"

const uint32_t soc_ticks_per_ms = 16000; // the nRF51 runs at 16 MHz

static bool uart_tx_busy;
static int flash_file = -1;

static int semihost(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void flash_open(void) {
    // The emulator passes "flash=PATH". Anything else is QEMU's own default, the image's path: it
    // must not be written.
    static const char prefix[] = "flash=";
    static char line[1024];
    uint32_t get[2] = {(uint32_t)line, sizeof(line)};
    if (semihost(SYS_GET_CMDLINE, get) != 0 || strncmp(line, prefix, sizeof(prefix) - 1) != 0) {
        return;
    }
    const char *path = line + sizeof(prefix) - 1;
    uint32_t open[3] = {(uint32_t)path, OPEN_READ_WRITE_BINARY, strlen(path)};
    flash_file = semihost(SYS_OPEN, open);
}

void soc_init(void) {
    UART_ENABLE = UART_ENABLED;
    UART_STARTRX = 1;
    UART_STARTTX = 1;
    UART_INTENSET = UART_INT_RXDRDY;
    TIMER_BITMODE = TIMER_32_BIT;
    TIMER_PRESCALER = TIMER_1_MHZ;
    TIMER_INTENSET = TIMER_INT_COMPARE0;
    soc_irq_enable_line(SOC_IRQ_UART);
    soc_irq_enable_line(SOC_IRQ_WAKE);
    flash_open();
}

int soc_uart_rx(void) {
    if (!UART_RXDRDY) {
        return -1;
    }
    // Cleared first: reading takes one byte from the queue, and raises the event again for the
    // next.
    UART_RXDRDY = 0;
    return UART_RXD & 0xff;
}

void soc_uart_rx_irq(bool enable) {
    // The interrupt stays raised while a byte is left in the queue.
    if (enable) {
        UART_INTENSET = UART_INT_RXDRDY;
    } else {
        UART_INTENCLR = UART_INT_RXDRDY;
    }
}

bool soc_uart_tx_ready(void) {
    if (uart_tx_busy && UART_TXDRDY) {
        UART_TXDRDY = 0;
        uart_tx_busy = false;
    }
    return !uart_tx_busy;
}

void soc_uart_tx(uint8_t byte) {
    uart_tx_busy = true;
    UART_TXD = byte;
}

void UART_Handler(void) {
    soc_uart_received();
}

void soc_wake_after(uint32_t ms) {
    TIMER_STOP = 1;
    TIMER_CLEAR = 1;
    TIMER_CC0 = ms * 1000;
    TIMER_START = 1;
}

void Wake_Handler(void) {
    TIMER_STOP = 1;
    TIMER_COMPARE0 = 0;
    soc_woken();
}

static bool flash_seek(uint32_t addr) {
    uint32_t seek[2] = {flash_file, addr};
    return flash_file >= 0 && semihost(SYS_SEEK, seek) == 0;
}

void soc_flash_read(uint32_t addr, void *buf, size_t len) {
    uint32_t read[3] = {flash_file, (uint32_t)buf, len};
    if (!flash_seek(addr) || semihost(SYS_READ, read) != 0) {
        memset(buf, 0, len); // no file: neither erased nor a file system, so it is left alone
    }
}

void soc_flash_write(uint32_t addr, const void *buf, size_t len) {
    uint32_t write[3] = {flash_file, (uint32_t)buf, len};
    if (flash_seek(addr)) {
        semihost(SYS_WRITE, write);
    }
}

const uint8_t *soc_flash_map(void) {
    return NULL;
}
