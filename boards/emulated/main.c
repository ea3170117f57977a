// One life of an emulated board: heap, file system, boot.py, main.py, prompt, soft reset, again.
// The order and the rules are those of MicroPython's rp2 and STM32 ports. Never formats anything:
// _boot.py decides that.

#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stackctrl.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"
#include "flash.h"
#include "soc.h"

extern uint8_t _estack, _stack_size, _heap_start, _heap_end;

// So deep may Python go before it raises RuntimeError; the rest of the stack is for C.
#define STACK_RESERVE (1024)

static size_t heap_size(void) {
    uint32_t chosen;
    soc_flash_read(FLASH_OTP + FLASH_OTP_HEAP, &chosen, sizeof(chosen));
    if (chosen == 0 || chosen == 0xffffffff) {
        chosen = MICROPY_HW_HEAP_SIZE;
    }
    return MIN(chosen, (size_t)(&_heap_end - &_heap_start));
}

static void run(void) {
    pyexec_frozen_module("_boot.py", false);
    int ret = pyexec_file_if_exists("boot.py");
    if (ret & PYEXEC_FORCED_EXIT) {
        return;
    }
    // A soft reset from the raw REPL (mpremote) must not start the application, nor must a Ctrl-C
    // during boot.py.
    if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL && ret != 0) {
        ret = pyexec_file_if_exists("main.py");
        if (ret & PYEXEC_FORCED_EXIT) {
            return;
        }
    }
    do {
        ret = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
    } while (ret == 0);
}

int main(void) {
    hal_init();
    mp_stack_set_top(&_estack);
    mp_stack_set_limit((size_t)&_stack_size - STACK_RESERVE);
    gc_init(&_heap_start, &_heap_start + heap_size());
    for (;;) {
        mp_init();
        mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__slash_lib));
        readline_init0();
        run();
        mp_printf(&mp_plat_print, "MPY: soft reboot\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *val) {
    mp_printf(&mp_plat_print, "FATAL: uncaught exception %p\n", val);
    for (;;) {
        __asm volatile("wfi");
    }
}
