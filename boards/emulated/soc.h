// What the emulated machine must offer to the rest of the port: interrupts, serial port, clock,
// wake-up, raw storage. soc_mps2.c and soc_nrf51.c implement the machine's part, mphalport.c the
// part common to all Cortex-M. Never knows about Python objects.
#ifndef QUIPU_SOC_H
#define QUIPU_SOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Common to all Cortex-M.
void hal_init(void); // clock and machine, once after reset
uint32_t soc_irq_disable(void);
void soc_irq_restore(uint32_t state);
void soc_irq_enable_line(unsigned line);
void soc_reset(void) __attribute__((noreturn));
uint64_t soc_ticks(void); // of SysTick since power-up; never wraps
uint64_t soc_instructions(void);
void soc_wait(int timeout_ms); // sleeps until an interrupt, or the time-out if it is not negative

// For interrupt handlers.
void soc_uart_received(void); // something is in the serial port: take it
void soc_woken(void); // soc_wait() must return

// The machine's own.
extern const uint32_t soc_ticks_per_ms; // of SysTick: the processor's clock in kHz
void soc_init(void);
int soc_uart_rx(void); // next byte, or -1
void soc_uart_rx_irq(bool enable);
bool soc_uart_tx_ready(void);
void soc_uart_tx(uint8_t byte); // only when ready
void soc_wake_after(uint32_t ms); // one interrupt, after so long

// Bytes that survive the end of QEMU. Addresses count from the start of the emulated flash.
void soc_flash_read(uint32_t addr, void *buf, size_t len);
void soc_flash_write(uint32_t addr, const void *buf, size_t len);
const uint8_t *soc_flash_map(void); // where the processor can read the flash directly, or NULL

#endif
