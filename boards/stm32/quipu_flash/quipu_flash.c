// The module `quipu_flash`: an STM32's internal flash through the port's own flash_erase and
// flash_write, without the cache and the rewriting of sectors that are behind pyb.Flash. Refuses
// every address that belongs to the firmware or the filesystem.
//
// UNIT: what a program is a multiple of, in bytes. ECC: whether reading a unit that a power cut
// tore raises a fault.
//
// reserved() -> (end of the firmware, filesystem's start, its end), absolute addresses;
// sector(address) -> (start, size); read(address, buffer), program(address, data), erase(address):
// OSError EINVAL for a wrong place, what the port says otherwise.

#include <string.h>

#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "flash.h"

#if defined(STM32F4) || defined(STM32F7)
#define UNIT (4)
#define ECC (false)
#elif defined(STM32G0) || defined(STM32G4) || defined(STM32L4) || defined(STM32WB) \
    || defined(STM32WL)
#define UNIT (8)
#define ECC (true)
#elif defined(STM32H5)
#define UNIT (16)
#define ECC (true)
#elif defined(STM32H7)
#define UNIT (FLASH_NB_32BITWORD_IN_FLASHWORD * 4)
#define ECC (true)
#else
#error quipu_flash does not know this family; STM32L0 and L1 erase to 0x00, which the log cannot use
#endif

// From the port's linker scripts: the initial values of .data are the last thing of the firmware.
extern uint8_t _sidata, _sdata, _edata;
#if MICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE
extern uint8_t _micropy_hw_internal_flash_storage_start, _micropy_hw_internal_flash_storage_end;
#endif

static uint32_t firmware_end(void) {
    return (uint32_t)&_sidata + (uint32_t)(&_edata - &_sdata);
}

static uint32_t filesystem_start(void) {
#if MICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE
    return (uint32_t)&_micropy_hw_internal_flash_storage_start;
#else
    return 0;
#endif
}

static uint32_t filesystem_end(void) {
#if MICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE
    return (uint32_t)&_micropy_hw_internal_flash_storage_end;
#else
    return 0;
#endif
}

// The address, checked: len bytes from there are flash, behind the firmware and not the
// filesystem's.
static uint32_t place(mp_obj_t address_in, size_t len) {
    uint32_t address = mp_obj_get_int_truncated(address_in);
    if (len == 0 || address + len < address || !flash_is_valid_addr(address)
        || !flash_is_valid_addr(address + len - 1) || address < firmware_end()
        || (address < filesystem_end() && address + len > filesystem_start())) {
        mp_raise_OSError(MP_EINVAL);
    }
    return address;
}

static void check(int result) {
    if (result < 0) {
        mp_raise_OSError(-result);
    }
}

static mp_obj_t quipu_flash_reserved(void) {
    mp_obj_t items[3] = {
        mp_obj_new_int_from_uint(firmware_end()),
        mp_obj_new_int_from_uint(filesystem_start()),
        mp_obj_new_int_from_uint(filesystem_end()),
    };
    return mp_obj_new_tuple(3, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(quipu_flash_reserved_obj, quipu_flash_reserved);

static mp_obj_t quipu_flash_sector(mp_obj_t address_in) {
    uint32_t start = 0, size = 0;
    if (flash_get_sector_info(mp_obj_get_int_truncated(address_in), &start, &size) < 0) {
        mp_raise_OSError(MP_EINVAL);
    }
    mp_obj_t items[2] = {mp_obj_new_int_from_uint(start), mp_obj_new_int_from_uint(size)};
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(quipu_flash_sector_obj, quipu_flash_sector);

static mp_obj_t quipu_flash_read(mp_obj_t address_in, mp_obj_t buffer_in) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(buffer_in, &buf, MP_BUFFER_WRITE);
    if (buf.len > 0) {
        uint32_t address = place(address_in, buf.len);
        // What was programmed went past the data cache (F7, H7): what it holds of here may be old.
        MP_HAL_CLEANINVALIDATE_DCACHE(address, buf.len);
        memcpy(buf.buf, (const void *)(uintptr_t)address, buf.len);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(quipu_flash_read_obj, quipu_flash_read);

// Unit by unit, through a buffer that is aligned as flash_write's words must be.
static mp_obj_t quipu_flash_program(mp_obj_t address_in, mp_obj_t data_in) {
    mp_buffer_info_t buf;
    mp_get_buffer_raise(data_in, &buf, MP_BUFFER_READ);
    uint32_t address = place(address_in, buf.len);
    if (address % UNIT != 0 || buf.len % UNIT != 0) {
        mp_raise_OSError(MP_EINVAL);
    }
    uint64_t unit[UNIT < 8 ? 1 : UNIT / 8];
    for (size_t at = 0; at < buf.len; at += UNIT) {
        memcpy(unit, (const uint8_t *)buf.buf + at, UNIT);
        // the filesystem's own interrupt writes flash too
        mp_uint_t state = MICROPY_BEGIN_ATOMIC_SECTION();
        int result = flash_write(address + at, (const uint32_t *)unit, UNIT / 4);
        MICROPY_END_ATOMIC_SECTION(state);
        check(result);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(quipu_flash_program_obj, quipu_flash_program);

static mp_obj_t quipu_flash_erase(mp_obj_t address_in) {
    uint32_t start = 0, size = 0;
    uint32_t address = mp_obj_get_int_truncated(address_in);
    if (flash_get_sector_info(address, &start, &size) < 0 || start != address) {
        mp_raise_OSError(MP_EINVAL);
    }
    place(address_in, size);
    mp_uint_t state = MICROPY_BEGIN_ATOMIC_SECTION();
    int result = flash_erase(address);
    MICROPY_END_ATOMIC_SECTION(state);
    check(result);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(quipu_flash_erase_obj, quipu_flash_erase);

static const mp_rom_map_elem_t quipu_flash_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_quipu_flash)},
    {MP_ROM_QSTR(MP_QSTR_UNIT), MP_ROM_INT(UNIT)},
    {MP_ROM_QSTR(MP_QSTR_ECC), ECC ? MP_ROM_TRUE : MP_ROM_FALSE},
    {MP_ROM_QSTR(MP_QSTR_reserved), MP_ROM_PTR(&quipu_flash_reserved_obj)},
    {MP_ROM_QSTR(MP_QSTR_sector), MP_ROM_PTR(&quipu_flash_sector_obj)},
    {MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&quipu_flash_read_obj)},
    {MP_ROM_QSTR(MP_QSTR_program), MP_ROM_PTR(&quipu_flash_program_obj)},
    {MP_ROM_QSTR(MP_QSTR_erase), MP_ROM_PTR(&quipu_flash_erase_obj)},
};
static MP_DEFINE_CONST_DICT(quipu_flash_globals, quipu_flash_globals_table);

const mp_obj_module_t quipu_flash_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&quipu_flash_globals,
};
MP_REGISTER_MODULE(MP_QSTR_quipu_flash, quipu_flash_module);
