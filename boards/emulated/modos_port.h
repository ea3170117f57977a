// The board's part of MicroPython's `os` module; extmod/modos.c includes it
// (MICROPY_PY_OS_INCLUDEFILE). Never compiled alone.

#include "flash.h"
#include "soc.h"

// os.urandom stands for a chip's random generator. The emulator writes a new seed beside the flash
// at every start; SplitMix64 (Steele, Lea, Flood 2014) makes a stream of it, which goes on over
// soft resets.
static mp_obj_t mp_os_urandom(mp_obj_t n_in) {
    static uint64_t state;
    if (state == 0) {
        soc_flash_read(FLASH_OTP + FLASH_OTP_SEED, &state, sizeof(state));
    }
    vstr_t out;
    vstr_init_len(&out, mp_obj_get_int(n_in));
    for (size_t i = 0; i < out.len; i++) {
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        out.buf[i] = (z ^ (z >> 31)) & 0xff;
    }
    return mp_obj_new_bytes_from_vstr(&out);
}
static MP_DEFINE_CONST_FUN_OBJ_1(mp_os_urandom_obj, mp_os_urandom);
