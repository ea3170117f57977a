# Says the SHA-256 of each file in these folders, one a line. Nothing on a board without hashlib: then
# every file is written.
import os


def survey(folders):
    try:
        from binascii import hexlify
        from hashlib import sha256
    except ImportError:
        return
    data = bytearray(512)
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            path = folder.rstrip("/") + "/" + name
            digest = sha256()
            try:
                with open(path, "rb") as f:
                    while True:
                        n = f.readinto(data)
                        if not n:
                            break
                        digest.update(memoryview(data)[:n])
            except OSError:
                continue
            print(hexlify(digest.digest()).decode(), path)
