"""A live board on a serial port: the link, the verbs, pulling its log, watching it, restoring and
migrating it."""

from quipu import moved

__getattr__ = moved.within("board", ("Board", "connect", "whole_frames"))
