# Counts seconds, durably: goes on after a power cut from the last count, and answers the laptop
# meanwhile.
import quipu

from shared_kernel.errors import LogFull, NotFound

memory = quipu.start()
while True:
    try:
        count = int(memory.get("seconds"))
    except NotFound:
        count = 0
    try:
        memory.put("seconds", b"%d" % (count + 1))
    except LogFull:  # nothing is lost: the next sync makes room
        pass
    memory.sleep_ms(1000)
