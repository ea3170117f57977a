"""shared_kernel.history's `walk` in viper. Imported on use; on a port without viper the import
fails and the plain one serves."""

import micropython


@micropython.viper
def walk(data, end: int, found_words, until: int, unit: int) -> int:
    p = ptr8(data)
    found = ptr32(found_words)
    seq = found[0]
    at = 0
    found[1] = 0
    while (
        at + 12 <= end
        and p[at] == 1
        and p[at + 4] | p[at + 5] << 8 | p[at + 6] << 16 | p[at + 7] << 24 == seq
    ):
        n = 16 + (p[at + 2] | p[at + 3] << 8)
        if seq == until:
            if at + n <= end:
                found[1] = n
                i = at + n - 4
                found[2] = p[i] | p[i + 1] << 8 | p[i + 2] << 16 | p[i + 3] << 24
                i = at + 20 if p[at + 1] & 64 else at + 12
                found[3] = p[i] | p[i + 1] << 8 | p[i + 2] << 16 | p[i + 3] << 24 if n > 20 else 0
            break
        seq += 1
        at += (n + unit - 1) // unit * unit
    found[0] = seq
    return at
