"""A filesystem that others fill up while the log records: the log has its room since its genesis,
and goes on. Runs under MicroPython only; prints how often there was no room, and the last seq.

    micropython files_full.py ROUNDS
"""

import os
import sys

import vfs
from quipu.files_flash import FilesFlash

from bench.workload import BlockDevice
from shared_kernel.errors import FlashError
from shared_kernel.store import Store
from tests.faults.harness import Application, Clock, Witness, genesis
from tests.flashsim import Chance, FlashSim

LOG = ("/f/log", 12 * 1536, 1536, 256)
device = BlockDevice(FlashSim(96, 4096, 256, 4, write_once=False))
vfs.VfsLfs2.mkfs(device, progsize=256)
vfs.mount(vfs.VfsLfs2(device, progsize=256), "/f")


def fill():
    """Take every free block, as an application's own file does."""
    try:
        with open("/f/greedy", "ab") as file:
            while True:
                file.write(b"x" * 512)
                file.flush()
    except OSError as e:
        assert e.errno == 28, e


def main(rounds):
    witness, clock, application = Witness(), Clock(3), Application(Chance(3))
    store = Store(FilesFlash(*LOG), clock)
    witness.act(store, genesis())
    full, errors = 0, []
    for _ in range(rounds):
        fill()
        for _ in range(60):
            try:
                witness.act(store, application.action(witness.model))
            except (FlashError, OSError) as e:
                full += 1
                errors.append(e)
                break
        os.remove("/f/greedy")
        store = Store(FilesFlash(*LOG), clock)  # a restart: all that was acknowledged is there
        witness.booted(store)
        for _ in range(10):
            witness.act(store, application.action(witness.model))
    if errors:
        print(*errors, sep="\n")
    print(full, store.seq)


main(int(sys.argv[1]))
