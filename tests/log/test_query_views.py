"""Filters, aggregates, views and subscriptions, against what a plain model says, under random lives
with reboots and power cuts."""

import contextlib

import pytest

from shared_kernel import frames
from shared_kernel.errors import Invalid
from shared_kernel.kernel import CREATE_NODE, DELETE, DELETE_KEY, DELETE_NODE, INSERT, PUT, UPDATE
from shared_kernel.query import KEYS, RECORDS, TESTS, Filter, aggregate, is_stale, select
from shared_kernel.store import Store
from shared_kernel.watch import QUEUE, Watch
from tests.faults.harness import Application, Chance, Clock, Witness, attempt, genesis, mount
from tests.flashsim import FlashSim, PowerCut

CONFIG = (2, 7, 5, 6, 4, 3, 5)
FIELDS = [
    (0, 1, False),
    (0, 1, True),
    (1, 2, False),
    (0, 2, True),
    (0, 3, True),
    (0, 4, False),
    (1, 4, True),
]


def integer(data, field):
    offset, width, signed = field
    data = data[offset : offset + width]
    return int.from_bytes(data, "little", signed=signed) if len(data) == width else None


def means(model, filter):
    """Return [(id or name, bytes with the fields)] of what a filter means, by the model."""
    if filter.over == RECORDS:
        things = [
            (ident, meta)
            for ident, (tag, _, meta) in model.records.items()
            if filter.tag in (None, tag)
        ]
    else:
        things = [
            (name, value)
            for name, (_, value) in model.keys.items()
            if name.startswith(filter.prefix)
        ]
    if filter.where is not None:
        field, test, number = filter.where
        compare = {
            "==": int.__eq__,
            "!=": int.__ne__,
            "<": int.__lt__,
            "<=": int.__le__,
            ">": int.__gt__,
            ">=": int.__ge__,
        }
        things = [
            (name, data)
            for name, data in things
            if integer(data, field) is not None
            and compare[TESTS[test]](integer(data, field), number)
        ]
    return sorted(things)


def expected(model, filter, field):
    values = [0 if field is None else integer(data, field) for _, data in means(model, filter)]
    values = [each for each in values if each is not None]
    return (
        len(values),
        sum(values),
        min(values, default=None),
        max(values, default=None),
        sum(values) // len(values) if values else None,
    )


def figures(sums):
    return sums.count, sums.sum, sums.least, sums.greatest, sums.mean()


def some_filter(chance):
    where = None
    if chance.below(2):
        numbers = (
            chance.below(300) - 40,
            chance.below(1 << 24) << 8,
            -1 << 31,
            1 << 32,
            -1 << 40,
            1 << 31,
        )
        where = (
            FIELDS[chance.below(len(FIELDS))],
            TESTS[chance.below(6)],
            numbers[chance.below(len(numbers))],
        )
    if chance.below(2):
        return Filter(RECORDS, tag=chance.below(9) if chance.below(2) else None, where=where)
    return Filter(
        KEYS, prefix=(b"", b"t", b"temperature", b"n", b"zzz")[chance.below(5)], where=where
    )


@pytest.mark.parametrize("seed", range(6))
def test_queries_and_views_agree_with_the_model(seed):
    sim = FlashSim(12, 1024, 256, 4, seed=seed)
    clock, chance = Clock(seed), Chance(seed + 100)
    store, witness = mount(sim, clock), Witness()
    witness.act(store, genesis())
    application = Application(chance)
    asked = [
        (some_filter(chance), FIELDS[chance.below(len(FIELDS))] if chance.below(4) else None)
        for _ in range(12)
    ]

    def watch():
        store.watch = Watch(store.kernel)
        return [store.watch.view(*each) for each in asked]

    views = watch()
    counted = 0
    for _ in range(250):
        if chance.below(25) == 0:
            sim.cut_after(chance.below(200))
        with contextlib.suppress(PowerCut):
            attempt(witness, store, application.action(witness.model))
        if sim.off or chance.below(40) == 0:
            sim.power_on()
            store = mount(sim, clock)
            witness.booted(store)
            views = watch()
        for view, (filter, field) in zip(views, asked):
            what = expected(witness.model, filter, field)
            assert store.ask(select, filter) == [name for name, _ in means(witness.model, filter)]
            assert figures(store.ask(aggregate, filter, field)) == what
            assert figures(store.ask(lambda kernel, view=view: view.result(kernel))) == what
            counted += what[0]
    assert counted > 500


def test_an_extreme_that_goes_is_looked_for_again_and_only_then():
    store = new_store()
    store.watch = Watch(store.kernel)
    view = store.watch.view(Filter(RECORDS), (0, 1, False))
    ids = [insert(store, bytes([each])) for each in (5, 9, 1)]
    assert not is_stale(view.sums) and figures(view.result(store.kernel)) == (3, 15, 1, 9, 5)
    store.execute([(DELETE, frames.ident(ids[0]), None)])
    assert not is_stale(view.sums) and figures(view.result(store.kernel)) == (2, 10, 1, 9, 5)
    store.execute([(DELETE, frames.ident(ids[1]), None)])
    assert is_stale(view.sums)
    assert figures(view.result(store.kernel)) == (1, 1, 1, 1, 1) and not is_stale(view.sums)


def test_the_mean_is_rounded_towards_minus_infinity():
    store = new_store()
    for each in (b"\xff", b"\xfe"):  # -1, -2
        insert(store, each)
    assert store.ask(aggregate, Filter(RECORDS), (0, 1, True)).mean() == -2


def new_store():
    store = Store(FlashSim(24, 1024, 256, 4), Clock(1))
    store.configure(CONFIG, b"sixteen of chaos", "test/1")
    return store


def insert(store, meta, tag=1):
    return store.execute([(INSERT, frames.insert([1, 2], tag, meta), None)])[0]


def put(store, name, value):
    return store.execute([(PUT, frames.put(name, value), None)])[0]


def told(heard):
    return [(each.kind, each.seq, each.what, each.label) for each in heard]


def test_subscribers_hear_in_order_what_is_theirs():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    keys, tags, nodes = [], [], []
    watch.subscribe(keys.append, prefix=b"te")
    watch.subscribe(tags.append, tag=3)
    watch.subscribe(nodes.append, kind=8)
    a = put(store, b"temp", b"1")
    put(store, b"other", b"1")
    b = put(store, b"temp", b"1")
    record = insert(store, b"", 3)
    insert(store, b"", 4)
    update = store.execute([(UPDATE, frames.update(record, 5, None), None)])[0]
    node = store.execute([(CREATE_NODE, frames.create_node(8, 0), None)])[0]
    gone = store.execute(
        [(DELETE_NODE, frames.ident(node), None), (DELETE_KEY, frames.delete_key(b"temp"), None)]
    )
    assert keys == tags == nodes == [], "told before the store was done"
    watch.deliver()
    assert told(keys) == [
        (PUT, a, b"temp", 0),
        (PUT, b, b"temp", 0),
        (DELETE_KEY, gone[1], b"temp", 0),
    ]
    assert told(tags) == [(INSERT, record, record, 3), (UPDATE, update, record, 5)], (
        "it left the tag: that is told too"
    )
    assert told(nodes) == [(CREATE_NODE, node, node, 8), (DELETE_NODE, gone[0], node, 8)]


def test_a_refused_command_is_not_told():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    heard = []
    watch.subscribe(heard.append, prefix=b"")
    store.execute(
        [
            (PUT, frames.put(b"k", b"too long for it"), None),
            (DELETE_KEY, frames.delete_key(b"none"), None),
        ]
    )
    watch.deliver()
    assert heard == []
    put(store, b"k", b"1")
    watch.deliver()
    assert len(heard) == 1


def test_a_callback_may_change_the_memory_and_is_told_of_it_after():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    order = []

    def react(change):
        order.append((change.what, "begin"))
        if change.what == b"a":
            put(store, b"b", b"1")
            watch.deliver()  # as every verb does
        order.append((change.what, "end"))

    watch.subscribe(react, prefix=b"")
    put(store, b"a", b"1")
    watch.deliver()
    assert order == [(b"a", "begin"), (b"a", "end"), (b"b", "begin"), (b"b", "end")]


def test_the_queue_is_bounded_and_counts_what_it_drops():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    heard = []
    watch.subscribe(heard.append, prefix=b"")
    seqs = [put(store, b"k", b"%d" % i) for i in range(QUEUE + 3)]
    watch.deliver()
    assert [each.seq for each in heard] == seqs[:QUEUE] and watch.dropped == 3
    put(store, b"k", b"")
    watch.deliver()
    assert len(heard) == QUEUE + 1


def test_a_callback_that_fails_loses_no_other_change():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    heard = []

    def fail_once(change):
        heard.append(change.seq)
        if len(heard) == 1:
            raise ValueError("the application's")

    watch.subscribe(fail_once, prefix=b"")
    seqs = [put(store, b"k", b"%d" % i) for i in range(2)]
    with pytest.raises(ValueError):
        watch.deliver()
    watch.deliver()
    assert heard == seqs


def test_what_a_failed_flash_took_back_is_never_told_and_views_are_exact_after_it():
    sim = FlashSim(24, 1024, 256, 4)
    store = Store(sim, Clock(1))
    store.configure(CONFIG, b"sixteen of chaos", "test/1")
    watch = store.watch = Watch(store.kernel)
    view = watch.view(Filter(RECORDS))
    heard = []
    watch.subscribe(heard.append, tag=1)
    insert(store, b"")
    watch.deliver()
    sim.cut_after(0)
    with pytest.raises(PowerCut):
        insert(store, b"")
    sim.power_on()
    store.call(lambda: None)
    watch.deliver()
    assert len(heard) == store.kernel.records.live() == figures(view.result(store.kernel))[0] == 1
    assert watch.dropped == 1


def test_an_unsubscribed_callback_hears_no_more():
    store = new_store()
    watch = store.watch = Watch(store.kernel)
    heard = []
    it = watch.subscribe(heard.append, prefix=b"")
    put(store, b"k", b"1")
    watch.unsubscribe(it)
    watch.deliver()
    assert heard == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Filter(7),
        lambda: Filter(KEYS, tag=1),
        lambda: Filter(RECORDS, prefix=b"a"),
        lambda: Filter(RECORDS, where=((0, 1, False), "=", 1)),
        lambda: Filter(RECORDS, where=((0, 5, False), "<", 1)),
        lambda: Filter(RECORDS, where=3),
        lambda: Watch(None).subscribe(print),
        lambda: Watch(None).subscribe(print, tag=1, kind=2),
    ],
)
def test_what_cannot_be_meant_is_refused(make):
    with pytest.raises(Invalid):
        make()
