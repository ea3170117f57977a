"""A log whose frames have all been recycled, for both snapshots cover them and the host has them, goes on after a boot."""

from shared_kernel import frames
from shared_kernel.kernel import PUT, Kernel
from shared_kernel.store import Store
from tests.flashsim import FlashSim

CONFIG = (2, 4, 2, 2, 4, 3, 5)


def test_a_log_of_snapshots_alone_goes_on():
    sim = FlashSim(9, 512, 256, 1)
    store = Store(sim, lambda: 0)
    store.configure(CONFIG, b"sixteen of chaos", "board")
    n = 0
    while store.room() > 60:  # no room for a checkpoint: so both snapshots are of the same seq
        store.execute([(PUT, frames.put(b"key", b"%d" % n), None)])
        n += 1
    store.take_snapshot()
    store.take_snapshot()
    assert store.slots[0].seq == store.slots[1].seq == store.seq
    store.acknowledge(store.seq + 1)
    seq, head, root = store.seq, store.head, store.kernel.root()
    ring = store.region.sectors - store.region.ring()
    for _ in range(ring):  # a cut leaves each without a frame, when it has just been taken into use
        store.address += store.room()
        assert store.make_room(1)
    assert store.first().first == seq + 1, "no frame is left"

    again = Store(sim, lambda: 0)
    assert (again.seq, again.head, again.kernel.root()) == (seq, head, root) and not again.damage
    assert again.execute([(PUT, frames.put(b"key", b"on"), None)]) == [again.seq] == [seq + 3]  # after a boot frame and a checkpoint
    third = Store(sim, lambda: 0)
    assert (third.seq, third.head) == (again.seq, again.head) and third.ask(Kernel.key, b"key") == (seq + 3, b"on")
