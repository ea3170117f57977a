// NOR flash over plain bytes: programming only clears bits, erasing sets a whole sector to 0xFF.
// Never hides a program that real flash could not do: it is refused whole, and nothing changes.

#include <string.h>
#include "py/runtime.h"
#include "flash.h"
#include "soc.h"

#define CHUNK (256) // as much as is looked at or erased at a time: it lies on the stack

flash_stats_t flash_stats;
uint64_t flash_instructions;

void flash_read(uint32_t addr, void *buf, size_t len) {
    uint64_t start = soc_instructions();
    soc_flash_read(addr, buf, len);
    flash_instructions += soc_instructions() - start;
}

static bool can_program(uint32_t addr, const uint8_t *buf, size_t len) {
    uint8_t old[CHUNK];
    while (len > 0) {
        size_t n = MIN(len, CHUNK);
        soc_flash_read(addr, old, n);
        for (size_t i = 0; i < n; i++) {
            if (buf[i] & ~old[i]) {
                return false;
            }
        }
        addr += n;
        buf += n;
        len -= n;
    }
    return true;
}

bool flash_program(uint32_t addr, const void *buf, size_t len) {
    uint64_t start = soc_instructions();
    bool ok = can_program(addr, buf, len);
    if (ok) {
        // No bit of `buf` is 1 where the flash has a 0, so old AND new is `buf` itself.
        soc_flash_write(addr, buf, len);
        flash_stats.bytes += len;
        flash_stats.programs++;
    }
    flash_instructions += soc_instructions() - start;
    return ok;
}

void flash_erase(uint32_t addr, size_t len) {
    uint64_t start = soc_instructions();
    uint8_t erased[CHUNK];
    memset(erased, 0xff, sizeof(erased));
    for (size_t done = 0; done < len; done += CHUNK) {
        soc_flash_write(addr + done, erased, CHUNK);
    }
    flash_stats.erases += len / FLASH_SECTOR;
    flash_instructions += soc_instructions() - start;
}
