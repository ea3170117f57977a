"""An application worth copying: windows of a motion sensor become 16 or so integers each, named
after the nearest example; what resembles nothing is kept. Integers throughout, so that the laptop's
replay computes the very same answers.

    import imu_logger, my_sensor
    imu_logger.run(my_sensor.Imu())     # any object whose read() returns integers, as many each time

Never touches a pin: sensor, battery and watchdog are given to it. imu_logger_async.py has the same
for asyncio."""

import time
from array import array

import quipu
from micropython import const

from shared_kernel.errors import Full, LogFull, NotFound

UNKNOWN = const(0)  # the tag of a window that was like no example
_LOW_REST = const(10)  # times as long a rest while the battery is low
_SLICE_MS = const(500)  # of a rest, between two feeds of the watchdog


def features(channels, dim):
    """Return `dim` integers of a window. channels: a sequence of samples for each channel, all as
    long, at least 2.

    Of every channel the mean, and the mean absolute deviation from it; then of as many channels as
    there is room for the mean absolute change from one sample to the next; then zeros. Every mean
    is a floor division."""
    out = []
    for samples in channels:
        n = len(samples)
        mean = sum(samples) // n
        out.append(mean)
        out.append(sum([abs(x - mean) for x in samples]) // n)
    if len(out) > dim:
        raise ValueError(
            "%d channels make %d features: the log's dimension must be that at least, not %d"
            % (len(channels), len(out), dim)
        )
    for samples in channels[: dim - len(out)]:
        n = len(samples)
        out.append(sum([abs(samples[i + 1] - samples[i]) for i in range(n - 1)]) // (n - 1))
    return out + [0] * (dim - len(out))


class ImuLogger:
    """Collects windows and keeps what they say.

    memory      what quipu.start() returns
    sensor      read() returns a sequence of i32, one a channel; Q16.16 is usual, 65536 is 1.0
    window      samples, at least 2
    far         squared distance, in units of 2^-32, beyond which a window is like no example
    battery     a function that returns millivolts; None: no battery
    low_mv      below it nothing is recorded; up again from recover_mv on, so that a battery that recovers at rest does not flutter
    watchdog    an object with feed(); None: none
    """

    def __init__(
        self,
        memory,
        sensor,
        window=100,
        far=4 << 32,
        battery=None,
        low_mv=3300,
        recover_mv=3500,
        watchdog=None,
    ):
        self.memory = memory
        self.sensor = sensor
        self.window = window
        self.far = far
        self.battery = battery
        self.low_mv = low_mv
        self.recover_mv = recover_mv
        self.watchdog = watchdog
        self.low = False
        self.missed = 0  # windows that found the log full, since the last that did not
        self.channels = None
        self.filled = 0

    # -- a window ----------------------------------------------------------------------------------

    def sample(self):
        """Read the sensor once; return whether the window is whole now."""
        values = self.sensor.read()
        # in place from here on: a window allocates nothing while it fills
        if self.channels is None:
            self.channels = [array("i", [0] * self.window) for _ in values]
        for channel, value in zip(self.channels, values):
            channel[self.filled] = value
        self.filled += 1
        self.feed()
        return self.filled == self.window

    def vector(self):
        """Return the features of the whole window, and begin the next."""
        self.filled = 0
        return features(self.channels, self.memory.store.kernel.config()[0])

    def classify(self, vector):
        """Return (tag of the nearest record, its id), or (UNKNOWN, 0) if none is near enough."""
        nearest = self.memory.search(vector, 1)
        if not nearest or nearest[0][0] > self.far:
            return UNKNOWN, 0
        return self.memory.record(nearest[0][1])[0], nearest[0][1]

    def learn(self, tag):
        """Keep the whole window as an example of `tag` (from 1 on); return its id."""
        return self.memory.insert(self.vector(), tag)

    def conclude(self):
        """Say what the whole window was like, and keep it if it was like nothing known; return its
        tag, None if the log is full.

        Durable when it returns. One key holds what is going on now, written when that changes: its
        history is the diary."""
        vector = self.vector()
        tag, like = self.classify(vector)
        try:
            if self.missed:  # before anything else: the log itself says what it lacks
                self._set("missed", self._value("missed", 0) + self.missed)
                self.missed = 0
            if not like:
                try:
                    self.memory.insert(vector, UNKNOWN)
                except Full:  # of records, not of log: the diary goes on without keeping this one
                    pass
            if self._value("activity", None) != tag:
                self._set("activity", tag)
        except LogFull:
            # the laptop was not here for long. What is kept stays; it is served, and the next sync
            # makes room
            self.missed += 1
            return None
        return tag

    # -- power -------------------------------------------------------------------------------------

    def is_low(self):
        """Look at the battery; return whether to record nothing. On the way down the log gets a
        last word, while there is power for
        it: flash that is written while the supply fails is what breaks."""
        if self.battery is None:
            return False
        mv = self.battery()
        if not self.low and mv < self.low_mv:
            self.low = True
            self.filled = 0  # half a window from before the rest is no window
            try:
                self._set("battery_mv", mv)
                self.memory.checkpoint()
            except LogFull:
                pass
        elif self.low and mv >= self.recover_mv:
            self.low = False
        return self.low

    def rest(self, ms):
        """Sleep, answer the laptop, and feed the watchdog. On a board of which nobody asks anything
        meanwhile, machine.lightsleep in its place saves more; most boards' USB does not survive
        that."""
        start = time.ticks_ms()
        while True:
            self.feed()
            left = ms - time.ticks_diff(time.ticks_ms(), start)
            if left <= 0:
                return
            self.memory.sleep_ms(min(left, _SLICE_MS))

    def feed(self):
        if self.watchdog:
            self.watchdog.feed()

    # -- all of it ---------------------------------------------------------------------------------

    def run(self, period_ms=100, rest_ms=0, windows=None):
        """Record windows (None: for ever), a sample every period_ms; after each rest for rest_ms,
        far longer while the battery is low. A rest while it is low counts as a window."""
        while windows is None or windows > 0:
            if self.is_low():
                self.rest(rest_ms * _LOW_REST)
            else:
                due = time.ticks_ms()
                while not self.sample():
                    # from when it was due, not from now: delays do not add up
                    due = time.ticks_add(due, period_ms)
                    self.rest(time.ticks_diff(due, time.ticks_ms()))
                self.conclude()
                self.rest(rest_ms)
            if windows is not None:
                windows -= 1

    def _value(self, key, default):
        try:
            return int(self.memory.get(key))
        except NotFound:
            return default

    def _set(self, key, number):
        self.memory.put(key, b"%d" % number)


def run(sensor, watchdog_ms=None, **options):
    """Record for ever. watchdog_ms: of the board's own watchdog, longer than its longest erase
    (docs/boards.md); None: none. It cannot be stopped again, so a board on which it runs is flashed
    within that time of a reset, or resets in the middle of it.

    A log that is damaged is left as it is and served, for `quipu attach`.
    """
    memory = quipu.start()
    if memory.store.damage:
        quipu.serve()
        return
    watchdog = None
    if watchdog_ms:
        from machine import WDT

        watchdog = WDT(timeout=watchdog_ms)
    ImuLogger(memory, sensor, watchdog=watchdog, **options).run(rest_ms=1000)
