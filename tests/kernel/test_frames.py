"""Frames and payloads are the literal bytes of docs/format.md; what does not fit into them is
refused before it is one."""

import struct
import zlib

import pytest
from quipu.errors import by_code

from shared_kernel import errors, frame_names, frames, genesis
from tests.kernel.log_writer import CONFIG, every_type, sealed

HEAD = bytes(range(32))
ENTROPY = b"0123456789abcdef"
ORIGIN = (bytes([1] * 32), 0x55, bytes([2] * 32), bytes([3] * 32), bytes([4] * 32))

GOLDEN = (
    (lambda: frames.insert([1, -2], 9, b"m"), "0200 09000000 01000000 feffffff 6d"),
    (lambda: frames.insert([2**31 - 1, -(2**31)], 2**32 - 1), "0200 ffffffff ffffff7f 00000080"),
    (lambda: frames.update(5, 3), "05000000 03000000 01"),
    (lambda: frames.update(5, None, b"hi"), "05000000 00000000 02 6869"),
    (lambda: frames.update(5, 0, b""), "05000000 00000000 03"),
    (lambda: frames.ident(0x01020304), "04030201"),
    (lambda: frames.create_node(7), "07000000 00000000"),
    (lambda: frames.create_node(7, 0x100), "07000000 00010000"),
    (lambda: frames.create_edge(1, 2, 3), "01000000 02000000 03000000"),
    (lambda: frames.put("ab", b"\xff\0", 6), "06000000 00 02 6162 ff00"),
    (lambda: frames.put(b"\0", b""), "00000000 00 01 00"),
    (lambda: frames.delete_key("é", 0x10203), "03020100 c3a9"),
    (lambda: frames.boot(3, HEAD, 5), "03000000" + HEAD.hex() + "05000000 00000000"),
    (lambda: frames.boot(3, HEAD, 5, 258), "03000000" + HEAD.hex() + "05000000 02010000"),
    (lambda: frames.clock(0x123456789AB, 50), "ab896745 23010000 32000000"),
    (
        lambda: genesis.encode(CONFIG, ENTROPY, "é1"),
        "01000000 02000000 04000000 04000000 06000000 03000000 05000000 07000000"
        + ENTROPY.hex()
        + "00 03 c3a931",
    ),
    (
        lambda: genesis.encode(CONFIG, ENTROPY, "", frames.OVERWRITE, ORIGIN),
        "01000000 02000000 04000000 04000000 06000000 03000000 05000000 07000000"
        + ENTROPY.hex()
        + "01 00"
        + "01" * 32
        + "55000000"
        + "02" * 32
        + "03" * 32
        + "04" * 32,
    ),
)

TYPES = {
    "genesis": 0x01,
    "boot": 0x02,
    "checkpoint": 0x03,
    "clock": 0x84,
    "insert": 0x10,
    "update": 0x11,
    "delete": 0x12,
    "create-node": 0x14,
    "delete-node": 0x15,
    "create-edge": 0x18,
    "delete-edge": 0x19,
    "put": 0x1C,
    "delete-key": 0x1D,
    "quarantine": 0x88,
    "acknowledged": 0x89,
    "snapshot": 0x8A,
}


def test_each_payload_is_its_literal_bytes():
    for build, expected in GOLDEN:
        assert build() == bytes.fromhex(expected.replace(" ", ""))
        assert type(build()) is bytes


def test_the_numbers_of_the_types():
    assert {name: kind for kind, name in frame_names.NAMES.items()} == TYPES
    commands = [name for name, kind in TYPES.items() if frame_names.is_command(kind)]
    assert (
        commands == [name for name in TYPES if TYPES[name] in range(0x10, 0x40)]
        and len(commands) == 9
    )
    for kind in range(256):
        assert frame_names.is_command(kind) == (0x10 <= kind & 0x3F and kind < 0x80)


def test_a_whole_frame_is_its_literal_bytes():
    """The CRC is zlib's of all before it, begun at the CRC of the log's name."""
    payload = frames.insert([1, -2], 9, b"m")
    body = bytes.fromhex("01 10 0f00 2a000000 e8030000 0200 09000000 01000000 feffffff 6d")
    crc = zlib.crc32(body, zlib.crc32(HEAD))
    assert frames.seed(HEAD) == zlib.crc32(HEAD) == 0x91267E8A
    whole = frames.frame(0x10, payload, 42, 1000, frames.seed(HEAD))
    assert (
        whole == body + struct.pack("<I", crc) == sealed(0x10, payload, 42, 1000, zlib.crc32(HEAD))
    )
    assert whole.hex() == body.hex() + "4af15dac"
    assert frames.length_at(b"..." + whole, 3) == len(whole) == 31


def test_a_frame_in_a_buffer_is_sealed_where_it_stands():
    payload = b"p" * 300
    buffer = bytearray(b"\xee" * 400)
    buffer[62:362] = payload
    end = frames.seal(buffer, 50, 0x85, 300, 0xFFFFFFFE, 0x3FFFFFFF, 77)
    assert buffer[50:end] == sealed(0x85, payload, 0xFFFFFFFE, 0x3FFFFFFF, 77)
    assert buffer[50:end] == frames.frame(0x85, payload, 0xFFFFFFFE, 0x3FFFFFFF, 77)
    assert set(buffer[:50]) == set(buffer[end:]) == {0xEE}
    assert frames.length_at(buffer, 50) == 316 and frames.crc_fits(buffer, 50, end, 77)


def test_the_crc_tells_each_bit_and_the_log():
    for frame in every_type().frames[1:3]:
        seed = every_type().seed
        assert frames.crc_fits(frame, 0, len(frame), seed)
        assert not frames.crc_fits(frame, 0, len(frame), seed ^ 1)
        assert not frames.crc_fits(frame, 0, len(frame), 0)
        for bit in range(8 * len(frame)):
            bad = bytearray(frame)
            bad[bit // 8] ^= 1 << bit % 8
            assert not frames.crc_fits(bad, 0, len(bad), seed)


REFUSED = (
    (errors.Invalid, lambda bad: frames.insert([1], bad)),
    (errors.Invalid, lambda bad: frames.update(bad, 1)),
    (errors.Invalid, lambda bad: frames.update(1, bad)),
    (errors.Invalid, lambda bad: frames.ident(bad)),
    (errors.Invalid, lambda bad: frames.create_node(bad)),
    (errors.Invalid, lambda bad: frames.create_node(1, bad)),
    (errors.Invalid, lambda bad: frames.create_edge(bad, 1, 1)),
    (errors.Invalid, lambda bad: frames.create_edge(1, bad, 1)),
    (errors.Invalid, lambda bad: frames.create_edge(1, 1, bad)),
    (errors.Invalid, lambda bad: frames.put("a", b"", bad)),
    (errors.Invalid, lambda bad: frames.delete_key("a", bad)),
)


def test_a_number_that_is_no_u32_is_refused_not_cut():
    for error, build in REFUSED:
        build(2**32 - 1)
        for bad in (-1, 2**32, 1.5, "1", b"1"):
            with pytest.raises(error, match="must be 0 to 4294967295"):
                build(bad)


def test_a_component_that_is_no_q16_16_integer_is_refused():
    for bad in (2**31, -(2**31) - 1, 1.0, float("nan"), float("inf"), "1", None):
        with pytest.raises(errors.Invalid, match="Q16.16"):
            frames.insert([0, bad])


def test_names_have_1_to_24_bytes():
    for build in (lambda name: frames.put(name, b""), lambda name: frames.delete_key(name)):
        for good in ("a", "n" * 24, "é" * 12, b"\0", b"\xff" * 24):
            build(good)
        for bad in ("", b"", "n" * 25, "é" * 13, b"n" * 25):
            size = len(bad.encode() if isinstance(bad, str) else bad)
            with pytest.raises(errors.TooLong, match="1 to 24 bytes, not %d" % size):
                build(bad)


def test_a_number_is_no_value_and_no_metadata():
    """bytes(3) would be three zeros, a value that nobody meant."""
    for bad in (3, [1, 2]):
        for build in (
            lambda bad: frames.put("a", bad),
            lambda bad: frames.update(1, None, bad),
            lambda bad: frames.insert([0], 0, bad),
        ):
            with pytest.raises(TypeError):
                build(bad)
    for good in (b"ab", bytearray(b"ab"), memoryview(b"ab")):
        assert (
            frames.put("a", good)[-2:]
            == frames.update(1, None, good)[-2:]
            == frames.insert([0], 0, good)[-2:]
            == b"ab"
        )


def test_an_update_of_nothing_is_refused():
    with pytest.raises(errors.Invalid):
        frames.update(1)


def test_the_largest_frame_of_a_configuration():
    """The largest of each type that the kernel takes, with a token: none is larger, and one is as
    large, than said."""
    for dim in (1, 2, 3, 16, 4096):
        for meta in (0, 1, 3, 255):
            for value in (0, 1, 9, 4096):
                config = (dim, 1, 2, 1, 1, meta, value)
                sizes = [
                    44,
                    8 + len(frames.insert([0] * dim, 0, bytes(meta))),
                    8 + len(frames.update(1, 1, bytes(meta))),
                    8 + len(frames.put(b"n" * 24, bytes(value))),
                    8 + len(frames.delete_key(b"n" * 24)),
                    8 + len(frames.create_edge(1, 1, 1)),
                    8 + len(frames.clock(1, 1)),
                    len(frames.boot(1, HEAD, 1)),
                ]
                assert frames.largest_frame(config) == frames.OVERHEAD + max(sizes), config
                for unit in (1, 4, 8, 16, 32):
                    # what one program call carries, and a power cut may void
                    span = frames.span(config, unit)
                    assert (
                        span % unit == 0
                        and 0 <= span - max(320, frames.largest_frame(config)) < unit
                    )
    for identity in ("", "n" * 64):
        assert (
            frames.OVERHEAD + len(genesis.encode(CONFIG, ENTROPY, identity, 0, ORIGIN))
            <= frames.GENESIS_BYTES
        )


# -- genesis ---------------------------------------------------------------------------------------


def test_a_genesis_is_read_back():
    for identity in ("", "board", "é" * 32):
        for origin in (None, ORIGIN):
            for policy in (frames.STOP, frames.OVERWRITE):
                it = genesis.Genesis(genesis.encode(CONFIG, ENTROPY, identity, policy, origin))
                assert (it.config, it.entropy, it.identity, it.policy, it.origin) == (
                    CONFIG,
                    ENTROPY,
                    identity,
                    policy,
                    origin,
                )


def test_a_long_identity_is_cut_between_characters():
    for long in ("é" * 40, "a" + "é" * 40, "a" * 65, "😀" * 17):
        identity = genesis.Genesis(genesis.encode(CONFIG, ENTROPY, long)).identity
        assert long.startswith(identity) and 61 <= len(identity.encode()) <= 64


def test_a_genesis_of_other_lengths_or_rules_is_refused():
    good = genesis.encode(CONFIG, ENTROPY, "board", frames.STOP, ORIGIN)
    for size in range(len(good)):
        if size != 55:  # without its origin it is whole
            with pytest.raises(errors.FormatError):
                genesis.Genesis(good[:size])
    with pytest.raises(errors.FormatError):
        genesis.Genesis(good + b"\0")
    with pytest.raises(errors.FormatError, match="rules 2"):
        genesis.Genesis(b"\2" + good[1:])
    with pytest.raises(errors.Invalid, match="dim"):
        genesis.Genesis(good[:4] + bytes(4) + good[8:])
    for entropy in (b"", ENTROPY[:15], ENTROPY + b"x"):
        with pytest.raises(errors.Invalid, match="entropy"):
            genesis.encode(CONFIG, entropy, "board")
    with pytest.raises(errors.Invalid, match="dim"):
        genesis.encode((0,) + CONFIG[1:], ENTROPY, "board")


# -- errors ----------------------------------------------------------------------------------------


def test_each_error_crosses_the_link_as_itself():
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.QuipuError)
    ]
    assert len({each.code for each in classes}) == len(classes) == 15
    for each in classes:
        if each not in (errors.QuipuError, errors.Mismatch):  # the laptop alone finds mismatches
            assert by_code(each.code) is each
    assert by_code(1) is by_code(0) is by_code(250) is errors.QuipuError
