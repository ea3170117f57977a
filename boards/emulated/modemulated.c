// The module `emulated`: the flash as a block device, and what can only be known on an emulated
// board. Never used by shared_kernel; firmware/quipu uses Flash as it would use rp2.Flash.

#include "py/mperrno.h"
#include "py/runtime.h"
#include "extmod/vfs.h"
#include "flash.h"
#include "soc.h"

typedef struct {
    mp_obj_base_t base;
    uint32_t start;
    uint32_t len;
    flash_stats_t stats; // of what was done through this object
} emulated_flash_obj_t;

extern const mp_obj_type_t emulated_flash_type;

// Flash(start=0, len=-1): the bytes from `start`, both multiples of the sector size; -1 is "to the
// end".
static mp_obj_t emulated_flash_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw,
                                        const mp_obj_t *all_args) {
    enum { ARG_start, ARG_len };
    static const mp_arg_t allowed_args[] = {
        {MP_QSTR_start, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_len, MP_ARG_INT, {.u_int = -1}},
    };
    mp_arg_val_t args[MP_ARRAY_SIZE(allowed_args)];
    mp_arg_parse_all_kw_array(n_args, n_kw, all_args, MP_ARRAY_SIZE(allowed_args), allowed_args,
                              args);
    mp_int_t start = args[ARG_start].u_int;
    mp_int_t len = args[ARG_len].u_int;
    if (start < 0 || start >= FLASH_SIZE || start % FLASH_SECTOR != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("start"));
    }
    if (len == -1) {
        len = FLASH_SIZE - start;
    }
    if (len <= 0 || len > FLASH_SIZE - start || len % FLASH_SECTOR != 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("len"));
    }
    emulated_flash_obj_t *self = mp_obj_malloc(emulated_flash_obj_t, type);
    self->start = start;
    self->len = len;
    self->stats = (flash_stats_t){0, 0, 0};
    return MP_OBJ_FROM_PTR(self);
}

// The place in the device of block `block_in`, byte `offset_in`, checked to hold `len` bytes.
static uint32_t place(emulated_flash_obj_t *self, mp_obj_t block_in, mp_int_t offset, size_t len) {
    mp_int_t block = mp_obj_get_int(block_in);
    if (block < 0 || block >= FLASH_SIZE / FLASH_SECTOR || offset < 0 || offset > FLASH_SIZE) {
        mp_raise_OSError(MP_EINVAL);
    }
    uint32_t at = block * FLASH_SECTOR + offset;
    if (at > self->len || len > self->len - at) {
        mp_raise_OSError(MP_EINVAL);
    }
    return self->start + at;
}

static mp_obj_t emulated_flash_readblocks(size_t n_args, const mp_obj_t *args) {
    emulated_flash_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_buffer_info_t buf;
    mp_get_buffer_raise(args[2], &buf, MP_BUFFER_WRITE);
    uint32_t addr = place(self, args[1], n_args > 3 ? mp_obj_get_int(args[3]) : 0, buf.len);
    flash_read(addr, buf.buf, buf.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(emulated_flash_readblocks_obj, 3, 4,
                                           emulated_flash_readblocks);

static void erase(emulated_flash_obj_t *self, uint32_t addr, size_t len) {
    flash_erase(addr, len);
    self->stats.erases += len / FLASH_SECTOR;
}

static mp_obj_t emulated_flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    emulated_flash_obj_t *self = MP_OBJ_TO_PTR(args[0]);
    mp_buffer_info_t buf;
    mp_get_buffer_raise(args[2], &buf, MP_BUFFER_READ);
    uint32_t addr = place(self, args[1], n_args > 3 ? mp_obj_get_int(args[3]) : 0, buf.len);
    if (n_args == 3) {
        // The block protocol's short form: whole blocks, erased first.
        if (buf.len % FLASH_SECTOR != 0) {
            mp_raise_OSError(MP_EINVAL);
        }
        erase(self, addr, buf.len);
    }
    if (!flash_program(addr, buf.buf, buf.len)) {
        mp_raise_OSError(MP_EIO);
    }
    self->stats.bytes += buf.len;
    self->stats.programs++;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(emulated_flash_writeblocks_obj, 3, 4,
                                           emulated_flash_writeblocks);

static mp_obj_t emulated_flash_ioctl(mp_obj_t self_in, mp_obj_t cmd_in, mp_obj_t arg_in) {
    emulated_flash_obj_t *self = MP_OBJ_TO_PTR(self_in);
    switch (mp_obj_get_int(cmd_in)) {
        case MP_BLOCKDEV_IOCTL_INIT:
        case MP_BLOCKDEV_IOCTL_DEINIT:
        case MP_BLOCKDEV_IOCTL_SYNC:
            return MP_OBJ_NEW_SMALL_INT(0);
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(self->len / FLASH_SECTOR);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(FLASH_SECTOR);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            erase(self, place(self, arg_in, 0, FLASH_SECTOR), FLASH_SECTOR);
            return MP_OBJ_NEW_SMALL_INT(0);
        default:
            return mp_const_none;
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(emulated_flash_ioctl_obj, emulated_flash_ioctl);

static mp_obj_t stats_tuple(const flash_stats_t *stats) {
    mp_obj_t items[3] = {
        mp_obj_new_int_from_ull(stats->bytes),
        mp_obj_new_int_from_uint(stats->programs),
        mp_obj_new_int_from_uint(stats->erases),
    };
    return mp_obj_new_tuple(3, items);
}

static mp_obj_t emulated_flash_stats(mp_obj_t self_in) {
    emulated_flash_obj_t *self = MP_OBJ_TO_PTR(self_in);
    return stats_tuple(&self->stats);
}
static MP_DEFINE_CONST_FUN_OBJ_1(emulated_flash_stats_obj, emulated_flash_stats);

// Reading without a copy, as rp2.Flash offers it; only where the processor sees the flash.
static mp_int_t emulated_flash_get_buffer(mp_obj_t self_in, mp_buffer_info_t *bufinfo,
                                          mp_uint_t flags) {
    emulated_flash_obj_t *self = MP_OBJ_TO_PTR(self_in);
    const uint8_t *map = soc_flash_map();
    if (map == NULL || flags != MP_BUFFER_READ) {
        return 1;
    }
    bufinfo->buf = (void *)(map + self->start);
    bufinfo->len = self->len;
    bufinfo->typecode = 'B';
    return 0;
}

static const mp_rom_map_elem_t emulated_flash_locals_dict_table[] = {
    {MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&emulated_flash_readblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&emulated_flash_writeblocks_obj)},
    {MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&emulated_flash_ioctl_obj)},
    {MP_ROM_QSTR(MP_QSTR_stats), MP_ROM_PTR(&emulated_flash_stats_obj)},
};
static MP_DEFINE_CONST_DICT(emulated_flash_locals_dict, emulated_flash_locals_dict_table);

MP_DEFINE_CONST_OBJ_TYPE(emulated_flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE, make_new,
                         emulated_flash_make_new, buffer, emulated_flash_get_buffer, locals_dict,
                         &emulated_flash_locals_dict);

// stats() -> (bytes programmed, programs, erases) of the whole device since reset, the file
// system's included.
static mp_obj_t emulated_stats(void) {
    return stats_tuple(&flash_stats);
}
static MP_DEFINE_CONST_FUN_OBJ_0(emulated_stats_obj, emulated_stats);

// instructions() -> executed since reset, exact to one tick of SysTick (40 on MPS2). Only under
// -icount shift=0, and only while the board does not wait: a wait counts as one instruction a
// nanosecond.
static mp_obj_t emulated_instructions(void) {
    return mp_obj_new_int_from_ull(soc_instructions());
}
static MP_DEFINE_CONST_FUN_OBJ_0(emulated_instructions_obj, emulated_instructions);

// flash_instructions() -> of those, the ones spent in emulating flash.
static mp_obj_t emulated_flash_instructions(void) {
    return mp_obj_new_int_from_ull(flash_instructions);
}
static MP_DEFINE_CONST_FUN_OBJ_0(emulated_flash_instructions_obj, emulated_flash_instructions);

static const mp_rom_map_elem_t emulated_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_emulated)},
    {MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&emulated_flash_type)},
    {MP_ROM_QSTR(MP_QSTR_stats), MP_ROM_PTR(&emulated_stats_obj)},
    {MP_ROM_QSTR(MP_QSTR_instructions), MP_ROM_PTR(&emulated_instructions_obj)},
    {MP_ROM_QSTR(MP_QSTR_flash_instructions), MP_ROM_PTR(&emulated_flash_instructions_obj)},
};
static MP_DEFINE_CONST_DICT(emulated_globals, emulated_globals_table);

const mp_obj_module_t emulated_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&emulated_globals,
};
MP_REGISTER_MODULE(MP_QSTR_emulated, emulated_module);
