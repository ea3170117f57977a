// What all emulated boards share below MicroPython: standard input and output, the clock, waiting.
// Never loses a byte of input: what the ring cannot take stays in the serial port, and QEMU holds
// the sender back.

#include "lib/oofatfs/ff.h"
#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "soc.h"

typedef struct {
    volatile uint32_t ctrl, load, value;
} systick_t;

#define SYSTICK ((systick_t *)0xE000E010)
#define SYSTICK_ENABLE_INTERRUPT_CPU_CLOCK (7)
#define SYSTICK_BITS (24)
#define SYSTICK_MASK ((1u << SYSTICK_BITS) - 1)
#define NVIC_ISER ((volatile uint32_t *)0xE000E100)
#define SCB_ICSR (*(volatile uint32_t *)0xE000ED04)
#define SCB_ICSR_PENDSTSET (1u << 26)
#define SCB_AIRCR (*(volatile uint32_t *)0xE000ED0C)
#define SCB_AIRCR_SYSRESETREQ (0x05FA0004)

#define STDIN_RING_SIZE (1024)

// A board whose host does not read must not stop for ever: after this long without room for a byte,
// output is dropped until there is room again (rp2 does the same on USB, after 500 ms).
#define TX_TIMEOUT_MS (2000)

// -------------------------------------------------------------------------------------- interrupts

uint32_t soc_irq_disable(void) {
    uint32_t state;
    __asm volatile("mrs %0, primask\ncpsid i" : "=r"(state) : : "memory");
    return state;
}

void soc_irq_restore(uint32_t state) {
    __asm volatile("msr primask, %0\nisb" : : "r"(state) : "memory");
}

void soc_irq_enable_line(unsigned line) {
    *NVIC_ISER = 1u << line;
}

void soc_reset(void) {
    SCB_AIRCR = SCB_AIRCR_SYSRESETREQ;
    for (;;) {
    }
}

// ------------------------------------------------------------------------------------------- clock

// SysTick is 24 bits wide and wraps within a second: its interrupt counts the wraps. It runs free,
// without a tick, so that a waiting board is woken once or twice a second only.
static volatile uint32_t systick_wraps;

static void clock_init(void) {
    SYSTICK->load = SYSTICK_MASK;
    SYSTICK->value = 0;
    SYSTICK->ctrl = SYSTICK_ENABLE_INTERRUPT_CPU_CLOCK;
}

void SysTick_Handler(void) {
    systick_wraps++;
}

uint64_t soc_ticks(void) {
    static uint64_t last;
    uint32_t irq = soc_irq_disable();
    uint32_t wraps = systick_wraps;
    uint32_t value = SYSTICK->value;
    if (SCB_ICSR & SCB_ICSR_PENDSTSET) {
        value = SYSTICK->value;
        wraps++;
    }
    uint64_t now = (uint64_t)wraps << SYSTICK_BITS | (-value & SYSTICK_MASK);
    // QEMU shows the counter at 0 for a moment before it raises the interrupt; time must not jump
    // back meanwhile.
    if (now < last) {
        now = last;
    }
    last = now;
    soc_irq_restore(irq);
    return now;
}

uint64_t soc_instructions(void) {
    // With -icount shift=0 an instruction takes one nanosecond.
    return soc_ticks() * 1000000 / soc_ticks_per_ms;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return soc_ticks() / soc_ticks_per_ms;
}

mp_uint_t mp_hal_ticks_us(void) {
    return soc_ticks() * 1000 / soc_ticks_per_ms;
}

uint64_t mp_hal_time_ns(void) {
    return soc_instructions();
}

// The date of files on FAT: always the first day of 2025, for there is no wall clock. Bits: year
// since 1980, month, day.
DWORD get_fattime(void) {
    return (2025 - 1980) << 25 | 1 << 21 | 1 << 16;
}

// ----------------------------------------------------------------------------------------- waiting

static volatile bool woken;

void soc_woken(void) {
    woken = true;
}

void soc_wait(int timeout_ms) {
    if (timeout_ms == 0) {
        return;
    }
    // Interrupts stay off from the look at `woken` to the wfi, or one in between would be slept
    // through. A pending interrupt ends the wfi all the same; it is served on restore, before the
    // caller looks again at what it waits for.
    uint32_t irq = soc_irq_disable();
    if (!woken) {
        if (timeout_ms > 0) {
            soc_wake_after(MIN(timeout_ms, 1000));
        }
        __asm volatile("dsb\nwfi" : : : "memory");
    }
    soc_irq_restore(irq);
    woken = false;
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = soc_ticks() + (uint64_t)ms * soc_ticks_per_ms;
    uint64_t now;
    mp_event_handle_nowait();
    while ((now = soc_ticks()) < end) {
        uint64_t left = (end - now + soc_ticks_per_ms - 1) / soc_ticks_per_ms;
        mp_event_wait_ms(MIN(left, 1000));
    }
}

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = soc_ticks() + (uint64_t)us * soc_ticks_per_ms / 1000;
    while (soc_ticks() < end) {
    }
}

// ---------------------------------------------------------------------------------- standard input

static uint8_t stdin_bytes[STDIN_RING_SIZE];
static ringbuf_t stdin_ring = {stdin_bytes, sizeof(stdin_bytes), 0, 0};

void soc_uart_received(void) {
    uint32_t irq = soc_irq_disable();
    bool room;
    while ((room = ringbuf_free(&stdin_ring) > 0)) {
        int c = soc_uart_rx();
        if (c < 0) {
            break;
        }
        woken = true;
        if (c == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&stdin_ring, c);
        }
    }
    soc_uart_rx_irq(room);
    soc_irq_restore(irq);
}

static int stdin_get(void) {
    uint32_t irq = soc_irq_disable();
    int c = ringbuf_get(&stdin_ring);
    soc_irq_restore(irq);
    // Room was made: fetch what may have been left in the serial port.
    soc_uart_received();
    return c;
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int c = stdin_get();
        if (c >= 0) {
            return c;
        }
        if (ringbuf_avail(&stdin_ring) == 0) {
            mp_event_wait_indefinite();
        }
    }
}

uintptr_t mp_hal_stdio_poll(uintptr_t poll_flags) {
    soc_uart_received();
    uintptr_t ready = poll_flags & MP_STREAM_POLL_WR;
    if (ringbuf_avail(&stdin_ring) > 0) {
        ready |= poll_flags & MP_STREAM_POLL_RD;
    }
    return ready;
}

// --------------------------------------------------------------------------------- standard output

mp_uint_t mp_hal_stdout_tx_strn(const char *str, size_t len) {
    static bool dropping;
    for (size_t i = 0; i < len; i++) {
        if (!soc_uart_tx_ready()) {
            uint64_t end = dropping ? 0 : soc_ticks() + TX_TIMEOUT_MS * soc_ticks_per_ms;
            while (!soc_uart_tx_ready() && soc_ticks() < end) {
            }
            dropping = !soc_uart_tx_ready();
            if (dropping) {
                break;
            }
        }
        dropping = false;
        soc_uart_tx(str[i]);
    }
    return len;
}

void hal_init(void) {
    soc_init();
    clock_init();
}
