// MicroPython's hardware layer on the emulated boards: how it waits, keeps interrupts out, and what
// a clock tick is. Never talks to hardware itself: see soc.h.

#include "shared/runtime/interrupt_char.h"
#include "soc.h"

// The serial port's interrupt handler schedules (Ctrl-C), so the scheduler's own sections must keep
// it out.
#define MICROPY_BEGIN_ATOMIC_SECTION() soc_irq_disable()
#define MICROPY_END_ATOMIC_SECTION(state) soc_irq_restore(state)

// Waiting halts the emulated processor, so that a board at its prompt costs the host next to
// nothing.
#define MICROPY_INTERNAL_WFE(TIMEOUT_MS) soc_wait(TIMEOUT_MS)

static inline mp_uint_t mp_hal_ticks_cpu(void) {
    return (mp_uint_t)soc_ticks();
}
