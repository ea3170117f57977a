"""imu_logger.py on asyncio, for an application that has other things to do: sampling, resting and
answering the laptop are tasks of their own. Every change of the memory runs to its end within one
step of one task, so no task ever finds another's half done.

    import asyncio, imu_logger_async, my_sensor
    asyncio.run(imu_logger_async.main(my_sensor.Imu()))
"""

import asyncio
import time

import quipu
from imu_logger import ImuLogger

# between two looks for a request: short against the pause of 20 ms that the board grants within one
_ANSWER_MS = 5
_LOW_REST = 10  # times as long a rest while the battery is low


async def record(logger, period_ms=100, rest_ms=1000, windows=None):
    """ImuLogger.run, which says what the arguments are, giving way between samples."""
    while windows is None or windows > 0:
        if logger.is_low():
            await asyncio.sleep_ms(rest_ms * _LOW_REST)
        else:
            due = time.ticks_ms()
            while not logger.sample():
                due = time.ticks_add(due, period_ms)
                await asyncio.sleep_ms(max(0, time.ticks_diff(due, time.ticks_ms())))
            logger.conclude()
            await asyncio.sleep_ms(rest_ms)
        if windows is not None:
            windows -= 1


async def answer(logger):
    """Answer the laptop for ever. The watchdog is fed here: it bites when the tasks no longer take
    turns."""
    while True:
        logger.feed()
        logger.memory.poll()
        await asyncio.sleep_ms(_ANSWER_MS)


async def main(sensor, **options):
    """Record and answer for ever. options: ImuLogger's."""
    logger = ImuLogger(quipu.start(), sensor, **options)
    await asyncio.gather(record(logger), answer(logger))
