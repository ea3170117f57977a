# Says the content of a file in base64, by lines.
from binascii import b2a_base64


def read_file(path):
    with open(path, "rb") as f:
        while True:
            data = f.read(96)
            if not data:
                break
            print(b2a_base64(data).decode(), end="")
