// The MPS2 machines (mps2-an385, mps2-an386, mps2-an500): serial port, wake-up timer, and the PSRAM
// that QEMU keeps in a host file and that serves as flash. Never enforces flash rules: flash.c
// does.
//
// Registers: ARM AN385, "ARM Cortex-M3 SMM on V2M-MPS2", and "Cortex-M System Design Kit Technical
// Reference Manual".

#include <string.h>
#include "mpconfigboard.h"
#include "soc.h"

typedef struct {
    volatile uint32_t data, state, ctrl, intstatus, bauddiv;
} cmsdk_uart_t;

typedef struct {
    volatile uint32_t ctrl, value, reload, intstatus;
} cmsdk_timer_t;

#define UART0 ((cmsdk_uart_t *)0x40004000)
#define UART_STATE_TXFULL (1u << 0)
#define UART_STATE_RXFULL (1u << 1)
#define UART_CTRL_TX_ENABLE (1u << 0)
#define UART_CTRL_RX_ENABLE (1u << 1)
#define UART_CTRL_RX_INTERRUPT (1u << 3)
#define UART_INT_RX (1u << 1)

#define TIMER1 ((cmsdk_timer_t *)0x40001000)
#define TIMER_CTRL_ENABLE (1u << 0)
#define TIMER_CTRL_INTERRUPT (1u << 3)

#define FLASH ((uint8_t *)MICROPY_HW_FLASH_ADDR)

const uint32_t soc_ticks_per_ms = 25000; // the machines run at 25 MHz

void soc_init(void) {
    UART0->bauddiv = 16; // the least the UART accepts; QEMU does not model the rate
    UART0->ctrl = UART_CTRL_TX_ENABLE | UART_CTRL_RX_ENABLE | UART_CTRL_RX_INTERRUPT;
    // QEMU looks for input only after something has told it to; a read does, switching the receiver
    // on does not.
    (void)UART0->data;
    soc_irq_enable_line(SOC_IRQ_UART);
    soc_irq_enable_line(SOC_IRQ_WAKE);
}

int soc_uart_rx(void) {
    return UART0->state & UART_STATE_RXFULL ? (int)(UART0->data & 0xff) : -1;
}

void soc_uart_rx_irq(bool enable) {
    // The interrupt is raised once for each arrival, so one left unread does not repeat it: nothing
    // to switch off.
    (void)enable;
}

bool soc_uart_tx_ready(void) {
    return !(UART0->state & UART_STATE_TXFULL);
}

void soc_uart_tx(uint8_t byte) {
    UART0->data = byte;
}

void UART_Handler(void) {
    UART0->intstatus = UART_INT_RX;
    soc_uart_received();
}

void soc_wake_after(uint32_t ms) {
    TIMER1->ctrl = 0;
    TIMER1->reload = 0; // a reload value of 0 makes the timer stop when it reaches 0
    TIMER1->value = ms * soc_ticks_per_ms;
    TIMER1->ctrl = TIMER_CTRL_ENABLE | TIMER_CTRL_INTERRUPT;
}

void Wake_Handler(void) {
    TIMER1->ctrl = 0;
    TIMER1->intstatus = 1;
    soc_woken();
}

void soc_flash_read(uint32_t addr, void *buf, size_t len) {
    memcpy(buf, FLASH + addr, len);
}

void soc_flash_write(uint32_t addr, const void *buf, size_t len) {
    memcpy(FLASH + addr, buf, len);
}

const uint8_t *soc_flash_map(void) {
    return FLASH;
}
