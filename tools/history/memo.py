"""What recovery reads from the same bytes is read once: pure functions of shared_kernel, remembered
by what they depend on.

A boot of a history differs from the one before it by a few bytes of one sector, and most of what
recovery works out is as it was. So the functions below are remembered, with the very bytes that
they read as the key: those that read one sector by that sector, those that bring the state to the
log's end by all that stands before that end. The functions themselves are the store's own, and what
they give back and leave behind is what they gave and left then. A flash whose units read by turns
is never remembered (its `cells` are None). `tests/faults/test_explore.py` compares boots with and
without all this.

Changes nothing of what is explored. Put a fault back first, then `install`: `clear` forgets what
the rule gave."""

import contextlib

from shared_kernel import kernel, recovery, region
from shared_kernel.errors import QuipuError

MOST = 200_000  # entries of one memory; then it is emptied

_memories = []
_plain = {}  # (object, name): the function as it was


def _memory():
    _memories.append({})
    return _memories[-1]


def clear():
    """Forget everything."""
    for each in _memories:
        each.clear()


def _keep(memory, key, value):
    if len(memory) >= MOST:
        memory.clear()
    memory[key] = value
    return value


@contextlib.contextmanager
def _aside(flash):
    """What is read here is told by its result."""
    before, flash.looked = flash.looked, set()
    yield
    flash.looked = before


def _replace(where, name, new):
    _plain.setdefault((where, name), getattr(where, name))
    setattr(where, name, new)


def uninstall():
    """Put the plain functions back, where none has been put in their place since."""
    for (where, name), plain in _plain.items():
        if getattr(getattr(where, name), "remembers", False):
            setattr(where, name, plain)
    _plain.clear()
    clear()


def install(whole=True):
    """Remember from now on. whole: also what depends on all of the log before its end; False where
    a fault that was put back may look behind that end."""
    uninstall()
    _memories.clear()
    _of_a_sector()
    _of_a_run()
    if whole:
        _of_the_log()
    for where, name in _plain:
        getattr(where, name).remembers = True


# -- one sector ------------------------------------------------------------------------------------


def _of_a_sector():
    Region = region.Region
    plain = Region.record
    records, headers, runs, listed, ends = _memory(), _memory(), _memory(), _memory(), _memory()

    def record(self, sector):
        cells = self.flash.cells
        if cells is None:
            return plain(self, sector)
        self.flash.looked.add(sector)
        data = cells[sector]
        try:
            return records[data]
        except KeyError:
            return _keep(records, data, plain(self, sector))

    _replace(Region, "record", record)
    # what `header` gives is a view that is good until the next reading: the bytes are kept
    _replace(Region, "header", _by_number(Region.header, headers, lambda got: got and bytes(got)))
    _replace(Region, "run", _by_number(Region.run, runs, lambda got: got))
    plain_numbers = Region.numbers

    def numbers(self):
        cells = self.flash.cells
        if cells is None:
            return plain_numbers(self)
        found, broken, top = [], [], -1
        first, last = self.ring(), self.sectors
        for sector in range(first, last):
            key = cells[sector], sector
            try:
                these, most, bad = listed[key]
            except KeyError:
                these, most, bad = _keep(listed, key, _numbers_of(self, plain_numbers, sector))
            if most > top:
                top = most
            if these:
                found += these
            if bad:
                broken += bad
        found.sort()
        found.reverse()
        return found, top, broken

    _replace(Region, "numbers", numbers)
    plain_end = Region.used_end

    def used_end(self, address, end):
        cells = self.flash.cells
        sector = address // self.sector
        if cells is None or not address < end <= (sector + 1) * self.sector:
            return plain_end(self, address, end)
        self.flash.looked.add(sector)
        key = cells[sector], address, end
        try:
            return ends[key]
        except KeyError:
            return _keep(ends, key, plain_end(self, address, end))

    _replace(Region, "used_end", used_end)


def _by_number(plain, memory, kept):
    """What is read at the place of a run's header, by the run's number."""

    def look(self, number):
        flash = self.flash
        cells = flash.cells
        if cells is None:
            return plain(self, number)
        flash.looked.add((number,))
        key = cells[self.ring() + number % self.turn // self.blocks], number
        try:
            return memory[key]
        except KeyError:
            with _aside(flash):
                found = plain(self, number)
            return _keep(memory, key, kept(found))

    return look


def _numbers_of(self, plain, sector):
    """Region.numbers of one sector alone: it asks for the ring's beginning before all else."""
    sectors, ring = self.sectors, self.ring()
    asked = []

    def once():
        if asked:
            return ring
        asked.append(1)
        return sector

    self.ring, self.sectors = once, sector + 1
    try:
        return plain(self)
    finally:
        del self.ring
        self.sectors = sectors


# -- one run ---------------------------------------------------------------------------------------


_PLACE = (
    "at",
    "base",
    "ahead",
    "ahead_end",
    "ahead_at",
    "genesis",
    "number",
    "seq",
    "address",
    "end",
    "limit",
    "following",
    "until",
    "seed",
)


def _of_a_run():
    measured, gone = _memory(), _memory()
    plain = recovery._measure

    def _measure(reader, run):
        cells = reader.region.flash.cells
        if cells is None:
            return plain(reader, run)
        key = cells[reader.region.sector_of(run.number)], run.number
        found = measured.get(key)
        if found is None:
            out = plain(reader, run)
            if hasattr(reader, "ahead_at"):
                _keep(measured, key, (out, [getattr(reader, each) for each in _PLACE]))
            return out
        out, place = found
        reader.order = [run.number]
        for each, value in zip(_PLACE, place):
            setattr(reader, each, value)
        return out

    _replace(recovery, "_measure", _measure)
    _replace(recovery, "_goes_on", _behind(recovery._goes_on, gone))


def _behind(plain, memory):
    """What is looked for behind the place where a run breaks off, in its sector."""

    def look(reader, address, limit, seq):
        here = reader.region
        cells = here.flash.cells
        if cells is None:
            return plain(reader, address, limit, seq)
        key = cells[(reader.end - 1) // here.sector], reader.end, address, limit, reader.seed, seq
        try:
            return memory[key]
        except KeyError:
            return _keep(memory, key, plain(reader, address, limit, seq))

    return look


# -- the log before its end ------------------------------------------------------------------------


def _of_the_log():
    orders, replays, older = _memory(), _memory(), _memory()
    plain_recover = recovery._recover

    def _recover(found, spare, until):
        # what is remembered stays as it is
        return plain_recover(found, None if found.region.flash.cells is not None else spare, until)

    _replace(recovery, "_recover", _recover)
    plain_order = recovery._find_order

    def _find_order(found, reader):
        here = found.region
        flash = here.flash
        if flash.cells is None:
            return plain_order(found, reader)
        run = found.run
        slots = tuple([_named(recovery._header(here, slot, found.replay.name)) for slot in (0, 1)])
        place = _place(orders, (run.number, found.last, found.end, slots))
        got = _look_up(place, found)
        if got is None:
            before, flash.looked = flash.looked, set()
            plain_order(found, reader)
            _note(place, found, (list(found.order), list(found.slots)))
            flash.looked |= before
        else:
            found.order[:], found.slots[:] = got

    plain_header, named = recovery._header, _memory()

    def _header(here, slot, name):
        flash = here.flash
        if flash.cells is None:
            return plain_header(here, slot, name)
        key = slot, name, *flash.cells[slot * here.slot_sectors : (slot + 1) * here.slot_sectors]
        try:
            return named[key]
        except KeyError:
            with _aside(flash):
                return _keep(named, key, plain_header(here, slot, name))

    _replace(recovery, "_header", _header)
    _replace(recovery, "_find_order", _find_order)
    _replace(recovery, "_replay", _with_state(recovery._replay, replays))
    _replace(recovery, "_check_older", _with_state(recovery._check_older, older))


def _place(memory, key):
    found = memory.get(key)
    return _keep(memory, key, {}) if found is None else found


def _look_up(place, found):
    """Return what was noted for a log of which all that was looked at is the same: sectors, and
    headers of runs; of the last run's sector, what stands before the log's end."""
    for looked, answers in place.items():
        got = answers.get(_seen(looked, found))
        if got is not None:
            found.region.flash.looked.update(looked)
            return got
    return None


def _seen(looked, found):
    here = found.region
    cells = here.flash.cells
    out = [cells[each] if each.__class__ is int else here.header(each[0]) for each in looked]
    out[-1] = out[-1][: found.end - looked[-1] * here.sector]
    return tuple(out)


def _note(place, found, got):
    here = found.region
    own = here.sector_of(found.run.number)
    looked = here.flash.looked
    looked.discard(own)
    looked = (*sorted(looked, key=str), own)
    _keep(place.setdefault(looked, {}), _seen(looked, found), got)


def _named(header):
    return header and (header.generation, header.seq, header.head)


def _with_state(plain, memory):
    """What brings the state to the log's end: it leaves a kernel behind, and may find damage."""

    def act(found, *spare):
        flash = found.region.flash
        if flash.cells is None:
            return plain(found, *spare)
        slots = tuple([_named(each) for each in found.slots])
        place = _place(
            memory,
            (
                found.run.number,
                found.last,
                found.end,
                tuple(found.order),
                slots,
                found.proved,
                found.certain,
                found.acked,
            ),
        )
        got = _look_up(place, found)
        if got is None:
            error = None
            if not spare:  # `_check_older` takes the arena for the other slot's
                found.replay.kernel = kernel.Kernel(found.replay.kernel.config())
            before, flash.looked = flash.looked, set()
            try:
                plain(found, *spare)
            except QuipuError as e:
                error = e
            replay = found.replay
            state = replay.kernel and _state_of(replay.kernel)
            _note(
                place,
                found,
                (
                    error,
                    list(found.slots),
                    found.proved,
                    found.certain,
                    found.acked,
                    list(found.cuts),
                    state,
                    (
                        replay.genesis,
                        replay.name,
                        replay.seed,
                        replay.seq,
                        replay.head,
                        replay.boot,
                        replay.checkpoints,
                    ),
                ),
            )
            flash.looked |= before
            if error:
                raise error
            return None
        (
            error,
            found.slots[:],
            found.proved,
            found.certain,
            found.acked,
            found.cuts[:],
            state,
            fields,
        ) = got
        replay = found.replay
        (
            replay.genesis,
            replay.name,
            replay.seed,
            replay.seq,
            replay.head,
            replay.boot,
            replay.checkpoints,
        ) = fields
        replay.kernel = state and _kernel_of(state, flash.frozen)
        if error:
            raise error.with_traceback(None)
        return None

    return act


class _Kept:
    """A kernel's state. shared: a kernel for boots that write nothing."""

    __slots__ = ("config", "bytes", "touched", "dirty", "root", "shared")


def _state_of(it):
    kept = _Kept()
    arena = it.arena
    kept.config, kept.bytes, kept.touched, kept.dirty, kept.root = (
        it.config(),
        bytes(arena.bytes),
        bytes(arena.touched),
        list(arena.dirty),
        it.tree.root,
    )
    kept.shared = None
    return kept


def _kernel_of(kept, frozen):
    if frozen and kept.shared:
        return kept.shared
    new = kernel.Kernel(kept.config)
    arena = new.arena
    arena.bytes[:] = kept.bytes
    arena.touched[:] = kept.touched
    for i, each in enumerate(kept.dirty):
        arena.dirty[i] = each
    new.tree.root = kept.root
    if frozen:
        kept.shared = new
    return new
