"""What a record costs the flash: bytes programmed, sectors erased, evenness of wear; Quipu beside
what a user would do instead.

    .venv/bin/python -m bench.flash      prints the tables, writes build/reports/flash.json (`make bench-flash`)

All candidates record the same (workload.py) on the same simulated flash; the figures are counts,
the same at each run."""

import argparse
import json
import os
import subprocess
import sys

from quipu.build import images

from bench.workload import DIM, KEPT, META, CountingFlash, Recorder
from shared_kernel import frames

TURNS = 50
# name: sectors, sector, page, program unit
GEOMETRIES = {
    "256 KiB of 4 KiB, unit 1": (64, 4096, 256, 1),
    "256 KiB of 4 KiB, unit 4": (64, 4096, 256, 4),
    "256 KiB of 4 KiB, unit 8": (64, 4096, 256, 8),
    "256 KiB of 4 KiB, unit 16": (64, 4096, 256, 16),
    "256 KiB of 4 KiB, unit 32": (64, 4096, 256, 32),
    "256 KiB of 2 KiB, unit 8": (128, 2048, 256, 8),
    "1 MiB of 16 KiB, unit 4": (64, 16384, 256, 4),
    "1 MiB of 128 KiB, unit 4": (8, 131072, 256, 4),
}
USUAL = "256 KiB of 4 KiB, unit 4"  # the geometry on which the alternatives run too
# the filesystem of the Pico's stock firmware: room for the log in files that its board folder asks
# for
PICO = (352, 4096, 256, 4)
# name: candidate of alternatives.py, littlefs's program size
ALTERNATIVES = {
    "quipu files": ("quipu", 256),
    "JSON line, littlefs (program size 32)": ("json", 32),
    "JSON line, littlefs (program size 256, as on rp2)": ("json", 256),
    "btree on littlefs": ("btree", 32),
}
CYCLES = (10_000, 100_000)  # what parts are rated for
# bytes programmed for each byte of frame, of inserts, with units up to SMALL_UNIT
MOST_OVERHEAD = 1.10
SMALL_UNIT = 8
MOST_SPREAD = 1.5  # most over mean erase count


class Quipu(Recorder):
    """A store on a counting flash."""

    def __init__(self, geometry):
        super().__init__(CountingFlash(*geometry))
        region = self.store.region
        self.flash.split = region.record_size + 2 * region.header_size

    def turns(self):
        """Return how often the ring has been gone round."""
        return self.store.number / self.store.region.turn

    def by_area(self):
        """Return (bytes programmed in snapshot slots, in headers of the ring's sectors, as frames)
        since `count_anew`."""
        ring = self.store.region.ring()
        slots, headers = sum(self.flash.filled[:ring]), sum(self.flash.heads[ring:])
        return slots, headers, self.flash.bytes_programmed - slots - headers


def appending(geometry):
    """Return what inserts alone cost, before anything is deleted or a snapshot is due: bytes of
    frames, and those programmed.

    The frames are read back from the store, so that what the flash counted is held to them.
    """
    quipu = Quipu(geometry)
    flash, store = quipu.flash, quipu.store
    flash.count_anew()
    start, head = store.seq, store.head
    while quipu.written < KEPT:
        quipu.write()
    slots, headers, programmed = quipu.by_area()
    size = padded = 0
    seq = start + 1
    while data := bytes(store.read_frames(seq, head if seq == start + 1 else b"")):
        at = 0
        while at < len(data):
            length = frames.length_at(data, at)
            size += length
            padded += store.region.pad(length)
            at += length
            seq += 1
    if padded != programmed or seq != store.seq + 1:
        raise AssertionError(
            f"{padded} bytes of padded frames were read back, {programmed} were programmed"
        )
    return {
        "frames": seq - start - 1,
        "frame_bytes": size,
        "programmed": programmed,
        "headers": headers,
        "slots": slots,
        "overhead": (programmed + headers) / size,
    }


def lasting(geometry, turns):
    """Return what records cost over so many turns of the ring, snapshots and all, from an empty
    region on."""
    quipu = Quipu(geometry)
    while quipu.turns() < turns or quipu.written < KEPT:
        quipu.write()
    flash = quipu.flash
    slots, headers, programmed = quipu.by_area()
    return {
        **figures(quipu.written, flash.bytes_programmed, flash.erases),
        "turns": turns,
        "snapshot_bytes_per_insert": slots / quipu.written,
        "header_bytes_per_insert": headers / quipu.written,
        "frame_bytes_per_insert": programmed / quipu.written,
        "distance": quipu.store.distance,
    }


def alternative(candidate, program_size, writes):
    """Return what a candidate of alternatives.py costs; None if this MicroPython cannot run it."""
    geometry = PICO if candidate == "quipu" else GEOMETRIES[USUAL]
    root = images.checkout_root()
    done = subprocess.run(
        [
            str(images.unix_port()),
            "-X",
            "heapsize=64M",
            str(root / "bench" / "alternatives.py"),
            candidate,
            *map(str, geometry),
            str(program_size),
            str(writes),
        ],
        env={**os.environ, "MICROPYPATH": f"{root}:{root / 'firmware'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "no module named 'btree'" in done.stderr + done.stdout:
        return None
    if done.returncode:
        raise RuntimeError(f"{candidate}: {done.stderr or done.stdout}")
    told = json.loads(done.stdout)
    return {
        **figures(told["writes"], told["programmed"], told["erases"]),
        "payload_bytes": told["payload"],
    }


def figures(writes, programmed, erases):
    """Return the figures that all candidates share. life: records until the most worn sector
    reaches that many erases."""
    most = max(erases)
    return {
        "inserts": writes,
        "bytes_programmed": programmed,
        "erases": sum(erases),
        "most_erases": most,
        "bytes_per_insert": programmed / writes,
        "erases_per_1000": 1000 * sum(erases) / writes,
        "wear_spread": most * len(erases) / sum(erases) if most else None,
        "life": {str(cycles): cycles * writes // most for cycles in CYCLES} if most else None,
    }


def measure(geometries, turns, writes, candidates=tuple(ALTERNATIVES)):
    """Return the whole report."""
    quipu = {}
    for name in geometries:
        sectors, sector, page, unit = geometry = GEOMETRIES[name]
        quipu[name] = {
            "sectors": sectors,
            "sector": sector,
            "page": page,
            "unit": unit,
            "appending": appending(geometry),
            **lasting(geometry, turns),
        }
    others = {name: alternative(*ALTERNATIVES[name], writes) for name in candidates}
    rows = {"quipu": quipu[USUAL], **others}
    report = {
        "geometry": USUAL,
        "record": f"{DIM} components, tag, {len(META)} bytes of metadata; {KEPT} kept",
        "quipu": quipu,
        "alternatives": others,
    }
    for key in ("bytes_per_insert", "erases_per_1000", "wear_spread"):
        report[key] = {name: row and row[key] for name, row in rows.items()}
    return report


# -- the tables ------------------------------------------------------------------------------------


def tables(report):
    """Return the report as text."""
    out = [
        f"A record: {report['record']}. Flash: {report['geometry']}. Each is durable when written.",
        "",
        f"{'':<52}{'bytes':>9}{'erases':>9}{'wear':>7}{'records at':>14}{'records at':>14}",
        f"{'':<52}{'a record':>9}{'per 1000':>9}{'spread':>7}{'10,000 cycles':>14}{'100,000 cycles':>15}",
    ]
    rows = {"quipu, raw region": report["quipu"][report["geometry"]], **report["alternatives"]}
    for name, row in rows.items():
        if row is None:
            out.append(f"{name:<52}  not in this MicroPython (its source has no berkeley-db)")
            continue
        spread = "-" if row["wear_spread"] is None else f"{row['wear_spread']:.2f}"
        life = [f"{each:,}" for each in row["life"].values()] if row["life"] else ["-", "-"]
        out.append(
            f"{name:<52}{row['bytes_per_insert']:>9,.0f}{row['erases_per_1000']:>9,.1f}{spread:>7}{life[0]:>14}{life[1]:>15}"
        )
    out += [
        "",
        f"quipu after {next(iter(report['quipu'].values()))['turns']} turns of the ring; a record "
        f"with the deletion of the "
        "oldest:",
        "",
        f"{'region':<28}{'overhead':>9}{'bytes':>8}{'frames':>8}{'headers':>8}{'snapshots':>10}{'per 1000':>9}{'spread':>8}",
    ]
    for name, row in report["quipu"].items():
        out.append(
            f"{name:<28}{row['appending']['overhead']:>9.3f}{row['bytes_per_insert']:>8,.0f}"
            f"{row['frame_bytes_per_insert']:>8,.0f}{row['header_bytes_per_insert']:>8,.1f}"
            f"{row['snapshot_bytes_per_insert']:>10,.0f}{row['erases_per_1000']:>9,.1f}{row['wear_spread']:>8.2f}"
        )
    out.append("")
    out.append(
        "overhead: bytes programmed for each byte of frame, headers included, inserts alone, "
        "snapshots excluded."
    )
    return "\n".join(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=TURNS, help="of the ring")
    parser.add_argument("--writes", type=int, default=8_000, help="of each alternative")
    options = parser.parse_args()
    report = measure(GEOMETRIES, options.turns, options.writes)
    path = images.checkout_root() / "build" / "reports" / "flash.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(tables(report))
    print(f"\n{path.relative_to(images.checkout_root())} written")


if __name__ == "__main__":
    sys.exit(main())
