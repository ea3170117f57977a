"""What follows the changes: views, which are running aggregates, and subscriptions, which are told.
Derived, outside the arena.

The store calls `before` and `after` around each command that it applies, and `lost` when it had to
read its state back from flash. Views are then found anew from the arena, so they are exact after
anything. Subscribers are called by `deliver`, when the store is done and the changes are durable;
what a callback changes is told after it has returned, never inside it."""

from .const import const
from .errors import Invalid
from .kernel import CREATE_NODE, DELETE_KEY, INSERT, PUT, u32
from .query import (
    CHANGE,
    KEYS,
    RECORDS,
    REMEMBER,
    Aggregate,
    bias,
    check_field,
    follow,
    gather,
    is_stale,
)

if 0:  # read by type checkers only: a board's compiler drops it
    from .types import About, Buffer, Callable, Field, Filter, Follow, Kernel, Subscription, array

QUEUE = const(32)  # changes that wait for their subscribers, at most
_DELETE = const(0x12)
_DELETE_NODE = const(0x15)
_LENGTHS = const(3)  # words of a slot, see kernel.py
_TAG = const(4)
_KIND = const(3)
_NAME = const(4)
_EDGES = (0x18, 0x19)  # commands that nothing here follows


class View:
    """A running aggregate of a field over what a filter means. count, sum and mean cost the same
    for any number of records; least and greatest look again only when that extreme has gone.
    follow: query.follow, or a faster one."""

    if 0:  # read by type checkers only
        sums: "array[int]"

    def __init__(
        self, kernel: "Kernel", filter: "Filter", field: "Field | None", follow: "Follow"
    ) -> None:
        self.filter = filter
        self.over = filter.over
        self.prefix = filter.prefix
        self.bias = bias(None if field is None else check_field(field))
        self.plan = filter.plan(kernel, field)
        self.follow = follow
        self.find(kernel)

    def find(self, kernel: "Kernel") -> None:
        """Compute it anew."""
        self.sums = gather(kernel, self.filter, self.plan, self.follow)

    def result(self, kernel: "Kernel") -> "Aggregate":
        """Return the Aggregate as of now."""
        if is_stale(self.sums):
            self.find(kernel)
        return Aggregate(self.sums, self.bias)


class Change:
    """A durable change, as a subscriber is told of it. kind: of the command; seq: of its frame;
    what: the record's or node's id, or the key's name; label: the record's tag or the node's kind,
        0 for a key."""

    def __init__(self, kind: int, seq: int, what: int | bytes, label: int) -> None:
        self.kind = kind
        self.seq = seq
        self.what = what
        self.label = label


class Watch:
    """Views and subscriptions of one store. dropped: changes that were never told, because the
    queue was full or the store had to be read back from flash."""

    if 0:  # read by type checkers only
        views: "list[View]"
        subscriptions: "list[Subscription]"
        queue: "list[tuple[Subscription, Change]]"
        told: "About | None"
        at: int

    def __init__(self, kernel: "Kernel | None", follow: "Follow" = follow) -> None:
        self.kernel = kernel
        self.follow = follow
        self.views = []
        self.subscriptions = []
        self.queue = []
        self.dropped = 0
        self.delivering = False

    def view(self, filter: "Filter", field: "Field | None" = None) -> "View":
        """Return a new View; `result` gives its value."""
        view = View(self.kernel, filter, field, self.follow)
        self.views.append(view)
        return view

    def subscribe(
        self,
        callback: "Callable[[Change], object]",
        prefix: "Buffer | None" = None,
        tag: int | None = None,
        kind: int | None = None,
    ) -> "Subscription":
        """Have callback(Change) called for each change of keys with this prefix, of records with
        this tag, or of nodes of this kind; return what `unsubscribe` takes."""
        if (prefix is None) + (tag is None) + (kind is None) != 2:
            raise Invalid(
                "subscribe to one of: a prefix of keys, a tag of records, a kind of nodes"
            )
        what = (
            (KEYS, bytes(prefix))
            if prefix is not None
            else (RECORDS, tag)
            if tag is not None
            else (2, kind)
        )
        self.subscriptions.append((callback, what[0], what[1]))
        return self.subscriptions[-1]

    def unsubscribe(self, subscription: "Subscription") -> None:
        self.subscriptions.remove(subscription)

    # -- called by the store -----------------------------------------------------------------------

    def _slot(self, kind: int, data: "Buffer", start: int, end: int, seq: int) -> int:
        """Return the word offset of the slot that a command is about, 0 if there is none (yet, or
        any more)."""
        kernel = self.kernel
        if kind >= PUT:
            name = start + 6 if kind == PUT else start + 4
            pool = kernel.keys
            link = kernel.find_key(data, name, data[start + 5] if kind == PUT else end - name)
        else:
            pool = kernel.records if kind < CREATE_NODE else kernel.nodes
            link = pool.find(seq if kind in (INSERT, CREATE_NODE) else u32(data, start))
        return pool.at(link - 1) if link else 0

    def before(self, kind: int, data: "Buffer", start: int, end: int) -> None:
        """A command is about to be applied."""
        self.told = None
        if kind in _EDGES:
            return
        self.at = at = 0 if kind in (INSERT, CREATE_NODE) else self._slot(kind, data, start, end, 0)
        if not CREATE_NODE <= kind < PUT:
            self._follow(kind, at, REMEMBER)
        if self.subscriptions and at:
            self.told = self._about(kind, at)

    def after(self, kind: int, data: "Buffer", start: int, end: int, seq: int) -> None:
        """It has been applied."""
        if kind in _EDGES:
            return
        at = self.at
        if kind in (_DELETE, _DELETE_NODE, DELETE_KEY):
            at = 0
        elif not at:
            at = self._slot(kind, data, start, end, seq)
        if not CREATE_NODE <= kind < PUT:
            self._follow(kind, at, CHANGE)
        if self.subscriptions:
            self._tell(kind, seq, self.told, self._about(kind, at) if at else None)

    def _follow(self, kind: int, at: int, mode: int) -> None:
        over = KEYS if kind >= PUT else RECORDS
        data = self.kernel.arena.bytes
        for view in self.views:
            if view.over == over:
                view.follow(view.plan, view.prefix, data, at, view.sums, mode)

    def lost(self, kernel: "Kernel | None") -> None:
        """The state was read back from flash. None: there is none."""
        self.dropped += len(self.queue)
        self.queue = []
        self.kernel = kernel
        if kernel:
            for view in self.views:
                view.find(kernel)

    # -- telling -----------------------------------------------------------------------------------

    def _about(self, kind: int, at: int) -> "About":
        """Return (pool, id or name, tag or kind) of the slot at word `at`."""
        w = self.kernel.arena.words
        if kind >= PUT:
            name = 4 * (at + _NAME)
            return KEYS, bytes(self.kernel.arena.bytes[name : name + (w[at + _LENGTHS] & 255)]), 0
        return (
            (2, w[at + 1], w[at + _KIND])
            if kind >= CREATE_NODE
            else (RECORDS, w[at + 1], w[at + _TAG])
        )

    def _tell(self, kind: int, seq: int, was: "About | None", now: "About | None") -> None:
        """Queue the change for each subscription that it touches, by what the thing was or by what
        it is now."""
        about = now or was
        for subscription in self.subscriptions:
            if self._wants(subscription, was) or self._wants(subscription, now):
                if len(self.queue) < QUEUE:
                    self.queue.append((subscription, Change(kind, seq, about[1], about[2])))
                else:
                    self.dropped += 1

    def _wants(self, subscription: "Subscription", about: "About | None") -> bool:
        if not about or about[0] != subscription[1]:
            return False
        if about[0] != KEYS:
            return about[2] == subscription[2]
        return about[1].startswith(subscription[2])  # type: ignore[union-attr,arg-type]  # names

    def deliver(self) -> None:
        """Call the subscribers of what has become durable, in the order of the changes. An error of
        a callback reaches the caller, and what comes after it is told at the next turn."""
        if self.delivering:
            return
        self.delivering = True
        try:
            while self.queue:
                subscription, change = self.queue.pop(0)
                if subscription in self.subscriptions:
                    subscription[0](change)
        finally:
            self.delivering = False
