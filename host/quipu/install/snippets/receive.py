# Writes files that the laptop sends to this program while it runs.
import io
import sys

try:
    import deflate
except ImportError:
    deflate = None


def inflates():
    print(deflate is not None)


# files: (path, sizes of its blocks as they come); window: deflate's, 0 for blocks that are not
# packed; escapes: (byte, the two that came for it). Answers each block with a dot.
def receive(files, window, escapes):
    for path, sizes in files:
        with open(path, "wb") as f:
            for size in sizes:
                data = bytearray(size)
                sys.stdin.readinto(data)
                data = bytes(data)
                for byte, pair in escapes:
                    data = data.replace(pair, byte)
                if window:
                    data = deflate.DeflateIO(io.BytesIO(data), deflate.RAW, window).read()
                f.write(data)
                sys.stdout.write(".")
