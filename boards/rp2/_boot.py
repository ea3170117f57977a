# In place of the port's own: mounts at "/" the part of the flash that lies before the log.
import filesystem
import rp2
from board_facts import FACTS

filesystem.mount(rp2.Flash(start=0, len=FACTS["log"]["start"]))
