"""Quipu on a board: `memory = quipu.start()` recovers the log; then memory.insert(...),
memory.search(...), memory.put(...).

The verbs are those of memory.Memory, the same as on the laptop's `quipu.connect(port)`.
"""

from shared_kernel.forget import forget

memory = None


def start(facts=None):
    """Open the log that the board's facts describe, recover its state, and return it as a Memory;
    again: the same one.

    facts: see docs/boards.md; by default those of /quipu.json or of the image.
    """
    global memory
    if memory is None:
        from .startup import board_facts, open_memory

        memory = open_memory(facts or board_facts())
        board_facts = open_memory = None
        forget("quipu", "startup")
    return memory


def serve():
    """Start if need be, and answer the laptop until it says leave, or Ctrl-C."""
    start().serve()
