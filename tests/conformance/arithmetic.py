"""small/arithmetic.txt: expectations from Python's fractions and decimals, from zlib and the blake3
package."""

import decimal
import fractions
import struct
import zlib

from shared_kernel import blake3 as reference
from shared_kernel.errors import Invalid, TooLong
from tests.conformance.encoding import (
    MAX,
    MIN,
    TOP,
    commas,
    hashed,
    insert,
    pattern,
    put,
    to_hex,
    u32s,
    update,
)
from tests.conformance.walk import Pick
from tests.conformance.world import File, World


def arithmetic():
    """small/arithmetic.txt"""
    file = File(
        "Q16.16 arithmetic at its edges, payloads, and the functions that a provider offers."
    )
    file.section("Add and subtract saturate; multiply floors, then saturates.")
    edges = (
        0,
        1,
        -1,
        2,
        -3,
        32768,
        -32768,
        65535,
        65536,
        -65536,
        65537,
        0x5A827999,
        -0x5A82799A,
        MAX,
        MIN,
        MAX - 1,
        MIN + 1,
    )
    pairs = [(a, b) for a in edges for b in edges if a <= b and (abs(a) > 3 or abs(b) > 3)] + [
        (-1, 1),
        (1, 1),
        (-1, -1),
        (-3, 1),
    ]
    pick = Pick(1)
    pairs += [(pick(2**32) - 2**31, pick(2**20) - 2**19) for _ in range(20)]
    for a, b in pairs:
        file.ask(f"mul {a} {b}", str(clamp(floor(fractions.Fraction(a * b, 65536)))))
    for a, b in (
        (MAX, 1),
        (MIN, -1),
        (MAX, MIN),
        (MIN, MIN),
        (MAX, MAX),
        (5, -7),
        (MAX, 0),
        (2**30, 2**30),
        (-(2**30), -(2**30)),
        (-(2**30) - 1, -(2**30)),
    ):
        file.ask(f"add {a} {b}", str(clamp(a + b)))
    for a, b in (
        (MAX, -1),
        (MIN, 1),
        (MAX, MIN),
        (MIN, MAX),
        (MIN, MIN),
        (5, -7),
        (0, MIN),
        (-1, MAX),
    ):
        file.ask(f"sub {a} {b}", str(clamp(a - b)))

    file.section("A dot product is exact until its one floor shift.")
    vectors = (
        ([1, 1], [32768, 32768]),
        ([-1], [1]),
        ([-1, -1], [1, 1]),
        ([-1, 1], [1, 1]),
        ([MAX, MAX], [MAX, MAX]),
        ([MIN, MIN], [MAX, MAX]),
        ([MAX, MIN, 1], [MAX, MAX, 65536]),
        ([65536, -65536, 3], [MIN, MIN, -1]),
        ([MIN] * 16, [MIN] * 16),
        ([pick(2**32) - 2**31 for _ in range(16)], [pick(2**17) - 2**16 for _ in range(16)]),
    )
    for a, b in vectors:
        total = sum(fractions.Fraction(x * y, 65536) for x, y in zip(a, b, strict=True))
        file.ask(f"dot {commas(a)} {commas(b)}", str(clamp(floor(total))))
    file.ask("dot - -", "0")
    file.ask("dot 1,2 1", Invalid)

    file.section(
        "Decimal text: round half away from zero, clamp, refuse what is no finite decimal number."
    )
    for text in (
        "0",
        "-0",
        "1",
        "-1",
        "+1",
        "1.5",
        "-1.5",
        ".25",
        "-.25",
        "1.",
        "00012.50",
        " 1.5",
        "1.5\t",
        "1e0",
        "1E3",
        "1e+3",
        "1e-3",
        "-2.5e-3",
        "0.00000762939453125",
        "-0.00000762939453125",
        "0.000007629394531249999999999999999",
        "0.00002288818359375",
        "-0.00002288818359375",
        "0.000022888183593750000000000000001",
        "32767.99998474121",
        "32767.9999999",
        "32767.999992370605469",
        "32768",
        "-32768",
        "-32768.00000762939453125",
        "-32769",
        "99999999999",
        "1e999",
        "-1e999",
        "1e-999",
        "0e999",
        "3.14159265358979323846",
        "-2.71828182845904523536",
        "0.1",
        "-0.1",
        "12345.6789e-2",
        "0." + "0" * 390 + "1",
        "9" * 400,
    ):
        file.ask(f"text [{text}]", str(nearest(fractions.Fraction(decimal.Decimal(text)))))
    for text in (
        "",
        " ",
        "-",
        "+",
        ".",
        "-.",
        "e5",
        "1e",
        "1e+",
        "1e5.0",
        "--1",
        "+-1",
        "1-",
        "1 2",
        "1_000",
        "0x10",
        "1,5",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "1e1000",
        "1.2.3",
        "1e5e5",
        "1e 5",
        "e",
        "9" * 401,
    ):
        file.ask(f"text [{text}]", Invalid)
    # White space and digits that only some interpreters take for such: no-break space, file
    # separator, fullwidth 1, EM SPACE.
    for text in ("\u00a01.5", "1.5\x1c", "１.5", "\u2003" + "1", "−1", "1\0"):
        file.ask("utf8 " + text.encode().hex(), Invalid)
    for n in (
        0,
        1,
        -1,
        2,
        65535,
        65536,
        -65536,
        98304,
        -98305,
        2**30,
        MAX,
        MIN,
        MIN + 1,
        6554,
        -6554,
    ):
        digits = format(
            decimal.Context(prec=60).divide(decimal.Decimal(n), decimal.Decimal(65536)), "f"
        )
        file.ask("decimal %d" % n, digits.rstrip("0").rstrip(".") if "." in digits else digits)

    file.section("Ratios, as a laptop's floats arrive.")
    for n, d in (
        (1, 2),
        (1, 3),
        (-1, 3),
        (2, 3),
        (-2, 3),
        (1, 131072),
        (-1, 131072),
        (3, 131072),
        (-3, 131072),
        (1, 131073),
        (0, 5),
        (MAX, 65536),
        (MAX * 2 + 1, 131072),
        (-(2**33), 131072),
        (-(2**32) - 1, 131072),
        (10**40, 3),
        (-(10**40), 3),
        (1, 10**40),
        *(
            x.as_integer_ratio()
            for x in (0.1, -0.1, 5e-324, 1.7976931348623157e308, 32767.99999999999)
        ),
    ):
        file.ask(f"ratio {n} {d}", str(nearest(fractions.Fraction(n, d))))

    file.section("Payloads.")
    file.ask("payload insert 1,-1,65536 7 abcd", to_hex(insert([1, -1, 65536], 7, b"\xab\xcd")))
    file.ask(f"payload insert {MAX},{MIN} {TOP} -", to_hex(insert([MAX, MIN], TOP)))
    for text in (f"{MAX + 1} 0 -", f"{MIN - 1} 0 -", "0 4294967296 -", "0 -1 -"):
        file.ask("payload insert " + text, Invalid)
    file.ask(f"payload update {TOP} 3 -", to_hex(update(TOP, 3)))
    file.ask("payload update 1073741824 - ff", to_hex(update(2**30, None, b"\xff")))
    file.ask("payload update 9 0 ff00", to_hex(update(9, 0, b"\xff\0")))
    file.ask("payload update 9 - -", Invalid)
    file.ask("payload update 4294967296 1 -", Invalid)
    file.ask("payload put c3a9 0001 2147483648", to_hex(put("é".encode(), b"\0\1", 2**31)))
    file.ask("payload put - 0001 0", TooLong)
    file.ask("payload put " + "61" * 25 + " - 0", TooLong)
    file.ask("payload delete-key 61 3000000000", to_hex(u32s(3000000000) + b"a"))
    file.ask("payload clock 1750000000123 250", to_hex(struct.pack("<QI", 1750000000123, 250)))
    file.ask("payload clock 4294967295 0", to_hex(struct.pack("<QI", TOP, 0)))
    file.ask(
        f"payload boot 3 {hashed(b'').hex()} 4000000000",
        to_hex(u32s(3) + hashed(b"") + u32s(4000000000, 0)),
    )

    file.section("Hashes and CRCs of a pattern, at every alignment; copies.")
    for at, size in (
        (0, 0),
        (0, 1),
        (1, 3),
        (2, 4),
        (3, 63),
        (0, 64),
        (1, 65),
        (2, 128),
        (3, 129),
        (0, 1023),
        (1, 1024),
        (2, 1025),
        (0, 2048),
        (0, 2049),
        (3, 3073),
    ):
        file.ask(f"hash {at} {size}", hashed(pattern(at, size)).hex())
    for at, size, seed in (
        (0, 0, 0),
        (0, 0, TOP),
        (0, 1, 0),
        (1, 9, 1),
        (2, 64, 2**30),
        (3, 97, 2**31),
        (0, 100, TOP),
    ):
        file.ask(f"crc {at} {size} {seed}", "%08x" % zlib.crc32(pattern(at, size), seed))
    for at, counter, out_at in ((0, 0, 0), (1, 1, 1), (2, 5, 2), (3, TOP, 3), (4, 2**30, 8)):
        file.ask(f"chunk {at} {counter} {out_at}", chunk_out(at, counter, out_at).hex())
    for left, right, out_at, root in (
        (0, 32, 0, 0),
        (0, 32, 32, 1),
        (1, 33, 64, 0),
        (32, 0, 3, 1),
        (96, 96, 0, 0),
    ):
        file.ask(
            f"parent {left} {right} {out_at} {root}", parent_out(left, right, out_at, root).hex()
        )
    for to_at, of_at, count in (
        (0, 0, 0),
        (0, 0, 48),
        (4, 8, 40),
        (1, 2, 3),
        (4, 8, 41),
        (3, 0, 45),
        (47, 5, 1),
    ):
        out = bytearray(48)
        out[to_at : to_at + count] = pattern(of_at, count)
        file.ask(f"copy {to_at} {of_at} {count}", out.hex())
    world = World(file, (1, 1, 0, 0, 0, 0, 0))
    world.root()
    return file


def clamp(n):
    return min(max(n, MIN), MAX)


def floor(x):
    return x.numerator // x.denominator


def nearest(x):
    """Return x in Q16.16: half away from zero, clamped."""
    size = floor(abs(x) * 65536 + fractions.Fraction(1, 2))
    return clamp(-size if x < 0 else size)


def chunk_out(at, counter, out_at):
    # The blake3 package shows no chaining values: the reference that tests/kernel/test_blake3.py
    # holds to it does.

    out = bytearray(40)
    reference.chunk_cv(pattern(at, 1024), 0, counter, out, out_at)
    return out


def parent_out(left, right, out_at, root):

    cvs = bytearray(pattern(0, 128))
    reference.parent_cv(bytes(cvs), left, right, cvs, out_at, root)
    return cvs
