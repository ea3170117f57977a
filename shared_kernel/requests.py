"""The requests of the link: number, payload -> the answer's payload. Numbers without a width are
u32.

Never loaded on a board: firmware/quipu/service.py repeats the numbers as folded constants, and a
test keeps them equal."""

from .const import const

INFO = const(0x01)  # -> JSON
# 0x10 to 0x1F, commands, with the numbers of their frames: token 8 | command payload -> seq
SEARCH = const(0x30)  # k u16 | has tag u8 | tag | vector -> (distance u64 | id) each
RECORD = const(0x31)  # id -> tag | vector | metadata
NODE = const(0x32)  # id -> kind | record
EDGE = const(0x33)  # id -> kind | from | to
KEY = const(0x34)  # name -> seq of the last write | value
# node | depth u16 | directions u8 | has kind u8 | kind -> (node | distance) each
NEIGHBOURHOOD = const(0x35)
EDGES_OF = const(0x36)  # node | directions u8 -> ids
# how many u8 | name -> 0, or 1 + seq before which older ones are archived | (seq | length u16 |
# value) each
HISTORY = const(0x37)
KEY_AT = const(0x38)  # seq | name -> seq of the write | value
# seq | first 8 bytes of the chain head before it | 4 or more of the log's name -> whole frames
FRAMES = const(0x40)
SNAPSHOT = const(0x41)  # -> slot u8 | header of the newest snapshot
SNAPSHOT_DATA = const(0x42)  # slot u8 | generation | offset | length u16 -> that part of the arena
TAKE_SNAPSHOT = const(0x43)  # -> seq that it covers
CHECKPOINT = const(0x44)  # -> seq
CLOCK = const(0x45)  # payload of a clock frame -> seq
# first seq that the laptop does not have -> seq of the last frame, one more if that was noted
ACKNOWLEDGE = const(0x46)
LEAVE = const(0x47)  # end serve()
# address | length u16, up to what INFO calls answer_limit -> the log's flash region from there on,
# without the bytes 0xFF at its end
READ_REGION = const(0x49)
# seq | hold u8 | first 8 bytes of the chain head before it | 4 or more of the log's name -> seq, or
# the log's first | the last seq that every later boot will read | address of that frame | sector |
# sectors u16 | slot sectors u16 | block | unit | how many runs from there on | the numbers of the
# first 64 of them, of which the last only says where the one before it ends, if there are more.
# hold 1: those frames are not recycled meanwhile, unless a command needs their room
LOG_LAYOUT = const(0x4A)
# a request's number u8 | its payload -> length | CRC-32 of its answer, which is kept for PART
KEEP = const(0x4B)
# CRC-32 of what is kept | offset u16 | length u16 -> that part of it; nothing if the length is 0
PART = const(0x4C)
CONFIGURE = const(0x48)  # configuration, 7 numbers | policy u8 | entropy 16 -> log name
# configuration, 7 numbers | policy u8 | entropy 16 | of the log to go on from: name, seq, chain
# head, root | root to begin with -> nothing
BEGIN_RESTORE = const(0x50)
# number of a chunk of the arena | its bytes, zeros at its end left out -> nothing
RESTORE_CHUNK = const(0x51)
END_RESTORE = const(0x52)  # -> log name
ERASE_LOG = const(0x53)  # log name | its chain head -> nothing
