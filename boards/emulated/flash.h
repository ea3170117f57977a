// The emulated NOR flash: its layout, and the rules that every write obeys. Never allocates, never
// raises Python errors.
//
//     0           file system (littlefs), 1 MiB
//     1 MiB       raw: Quipu's log region, 256 KiB; the rest is unused
//     2 MiB       one page that Flash objects do not reach; the host writes it with the file
//
// An erased byte is 0xFF, as it is in the host's file.
#ifndef QUIPU_FLASH_H
#define QUIPU_FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLASH_SIZE (2 * 1024 * 1024)
#define FLASH_SECTOR (4096)

// What real chips keep in one-time-programmable memory, and what the emulator chooses for one
// board.
#define FLASH_OTP FLASH_SIZE
#define FLASH_OTP_ID (0)
#define FLASH_ID_LEN (8)
#define FLASH_OTP_HEAP (8) // u32: bytes of heap; 0 or 0xFFFFFFFF: as built
#define FLASH_OTP_SEED (16) // u64: new at every start, for os.urandom

typedef struct {
    uint64_t bytes;
    uint32_t programs;
    uint32_t erases;
} flash_stats_t;

extern flash_stats_t flash_stats; // of the whole device, since reset
extern uint64_t flash_instructions; // spent in here, since reset

void flash_read(uint32_t addr, void *buf, size_t len);
// false: a bit would have to become 1; nothing changed
bool flash_program(uint32_t addr, const void *buf, size_t len);
void flash_erase(uint32_t addr, size_t len); // whole sectors

#endif
