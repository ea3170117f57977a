// The board's part of MicroPython's `machine` module; extmod/modmachine.c includes it
// (MICROPY_PY_MACHINE_INCLUDEFILE). Never compiled alone, never offers pins or buses: nothing is
// connected to the emulated board.

#include "soc.h"
#include "flash.h"

static void mp_machine_idle(void) {
    mp_event_wait_ms(1);
}

static void mp_machine_reset(void) {
    soc_reset();
}

static mp_int_t mp_machine_reset_cause(void) {
    return 0;
}

static mp_obj_t machine_unique_id(void) {
    uint8_t id[FLASH_ID_LEN];
    soc_flash_read(FLASH_OTP + FLASH_OTP_ID, id, sizeof(id));
    return mp_obj_new_bytes(id, sizeof(id));
}
MP_DEFINE_CONST_FUN_OBJ_0(machine_unique_id_obj, machine_unique_id);
