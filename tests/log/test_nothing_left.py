"""A log whose frames may all be recycled keeps its last one: a boot finds the log's end there, and
goes on.

Both snapshots cover the frames and the host has them, so every sector but the newest is free; a cut
may leave each of those without a frame when it has just been taken into use.
"""

from shared_kernel import frames
from shared_kernel.errors import LogFull
from shared_kernel.kernel import PUT, Kernel
from shared_kernel.store import Store
from tests.flashsim import FlashSim

CONFIG = (2, 4, 2, 2, 4, 3, 5)


def put(value):
    return [(PUT, frames.put(b"key", value), None)]


def test_a_log_of_snapshots_alone_goes_on():
    sim = FlashSim(11, 512, 256, 1)
    store = Store(sim, lambda: 0)
    store.configure(CONFIG, b"sixteen of chaos", "board")
    n = 0
    while not isinstance(store.execute(put(b"%d" % n))[0], LogFull):
        n += 1
    # no room for the frame that names a snapshot: so nothing stands behind what that covers
    store.address += store.room()
    store.take_snapshot()
    store.acked = store.seq + 1  # nor for the frame that notes this
    seq, head, root = store.seq, store.head, store.kernel.root()
    assert store.newest_snapshot()[1].seq == seq and store.taken >= 0, "it is not named"
    store._name_taken = lambda: None  # as where no sector takes that frame
    ring = store.region.sectors - store.region.ring()
    for _ in range(2 * ring):
        assert store._make_room((sim.sector,))  # which the sector in use never has
    assert store.first().first <= seq == store.seq, "the last frame stays"

    again = Store(sim, lambda: 0)
    assert (again.seq, again.head, again.kernel.root()) == (seq, head, root) and not again.damage
    again.acknowledge(seq + 1)  # the log could not say that the host has all of it
    # after a boot frame and a checkpoint
    assert again.execute(put(b"on")) == [again.seq] and again.seq >= seq + 3
    third = Store(sim, lambda: 0)
    assert (third.seq, third.head) == (again.seq, again.head) and third.ask(Kernel.key, b"key") == (
        again.seq,
        b"on",
    )
