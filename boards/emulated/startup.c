// From reset to main(), and what happens on a fault. Never returns to anyone: a fault is reported
// on the serial port and the processor stops, as a board without a watchdog would.

#include "mpconfigboard.h"
#include "py/runtime.h"
#include "soc.h"

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
int main(void);
void SysTick_Handler(void);
void UART_Handler(void);
void Wake_Handler(void);

__attribute__((noreturn)) void Reset_Handler(void) {
    for (uint32_t *src = &_sidata, *dest = &_sdata; dest < &_edata;) {
        *dest++ = *src++;
    }
    for (uint32_t *dest = &_sbss; dest < &_ebss;) {
        *dest++ = 0;
    }
#if defined(__ARM_FP)
    // CPACR: full access to the floating-point unit, which is off after reset.
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;
    __asm volatile("dsb; isb");
#endif
    main();
    for (;;) {
    }
}

__attribute__((noreturn, used)) static void report_fault(const uint32_t *frame) {
    // The frame is what the processor pushed: r0-r3, r12, lr, pc, psr.
    mp_printf(&mp_plat_print, "\r\nFAULT: pc=%08x lr=%08x r0=%08x r1=%08x\r\n", (unsigned)frame[6],
              (unsigned)frame[5], (unsigned)frame[0], (unsigned)frame[1]);
    soc_irq_disable();
    for (;;) {
        __asm volatile("wfi");
    }
}

__attribute__((naked)) void Fault_Handler(void) {
    __asm volatile("mrs r0, msp\n"
                   "ldr r1, =report_fault\n"
                   "bx r1\n");
}

// The SoC's lines are numbered by their peripherals; both machines use lines below 16 only.
__attribute__((section(".isr_vector"), used)) static void *const vectors[16 + 16] = {
    [0] = &_estack,
    [1] = Reset_Handler,
    [2] = Fault_Handler,
    [3] = Fault_Handler,
    [4] = Fault_Handler,
    [5] = Fault_Handler,
    [6] = Fault_Handler,
    [11] = Fault_Handler,
    [14] = Fault_Handler,
    [15] = SysTick_Handler,
    [16 + SOC_IRQ_UART] = UART_Handler,
    [16 + SOC_IRQ_WAKE] = Wake_Handler,
};
