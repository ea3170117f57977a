# Says in hex the first bytes of a sector that may be one of a log of format 1. The driver is that of
# the firmware on the board, which may be of the same age; nothing without one.


def old_log():
    try:
        from quipu.startup import board_facts, open_flash

        flash = open_flash(board_facts())
        start = bytearray(16)
        for sector in range(flash.sectors):
            flash.read(sector * flash.sector, start)
            if start[:4] == b"QUP1":
                print("".join(["%02x" % each for each in start]))
                break
    except Exception:  # noqa: BLE001  (a board's own driver: no log is found by one that fails)
        pass
