"""Makes the conformance vectors from seeds. Run `python tests/conformance/generate.py` to write
them, with --check to only say whether the files are what it would write (exit code 1 if not).

What a vector expects comes from elsewhere than what it tests wherever there is an elsewhere:
outcomes and queries from tests/model.py, arithmetic from Python's fractions, frames and payloads
from struct and zlib, hashes from the blake3 package. Only the arena's bytes are the kernel's own.
Never runs on a board."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE / "vectors"
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1])]

from tests.conformance import arithmetic, commands, large, replays  # noqa: E402

FILES = {
    "small/arithmetic.txt": arithmetic.arithmetic,
    "small/commands.txt": commands.commands,
    "small/replay.txt": replays.replay,
    "large/records.txt": large.records,
    "large/graph.txt": large.graph,
    "large/wide.txt": large.wide,
}


def main(arguments):
    texts = {name: make().text() for name, make in FILES.items()}
    if arguments == ["--check"]:
        return check(texts)
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for name, text in texts.items():
        (VECTORS / name).parent.mkdir(parents=True, exist_ok=True)
        (VECTORS / name).write_text(text)
    return 0


def check(texts):
    """Compare the files with what they should be; name the first line that differs."""
    wrong = [
        f"{path.relative_to(VECTORS)} is not one of them"
        for path in sorted(VECTORS.glob("**/*"))
        if path.is_file() and path.relative_to(VECTORS).as_posix() not in texts
    ]
    for name, text in texts.items():
        path = VECTORS / name
        found = path.read_text().splitlines() if path.is_file() else []
        expected = text.splitlines()
        if found != expected:
            line = next(
                (i for i, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]),
                min(len(found), len(expected)),
            )
            wrong.append(f"{name} differs from what is generated, first in line {line + 1}")
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
