# Erases the log region that read_log.py has opened, and reads every byte back; says each sector that
# is erased. flash, parts: of read_log.py.


def erase_log(flash, parts):
    for sector in range(flash.sectors):
        flash.erase(sector)
        for piece in parts(sector):
            if bytes(piece) != bytes([255]) * len(piece):
                raise OSError("sector %d does not read as erased" % sector)
        print(sector)
