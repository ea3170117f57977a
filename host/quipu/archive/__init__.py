"""Archives of logs on disk: their files, their chains, joining two of one log, replaying and
verifying them. Knows no board's port."""

from quipu import moved

__getattr__ = moved.within(
    "archive", ("Archive", "Chain", "Mark", "Note", "Run", "Scan", "Segment", "claims", "split")
)
