"""`mpremote mip install` of the checkout's package.json, served on loopback, makes a plain board
one that records and verifies."""

import functools
import http.server
import json
import subprocess
import sys
import threading

import pytest
import quipu
from quipu.build import images, mip
from quipu.build.emulator import Emulator
from quipu.install import files as deploy

BOARD = "MPS2_AN386"


@pytest.fixture
def address():
    """Where the checkout is served."""
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=images.checkout_root()
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_package_names_every_file_of_the_boards_side():
    text = (images.checkout_root() / "package.json").read_text()
    assert text == mip.package(), "a file came or went: run `python host/quipu/build/mip.py`"
    named = {"/lib/" + place for place, _ in json.loads(text)["urls"]}
    assert named == {
        path
        for path in deploy.files(images.board_facts(BOARD), native=False)
        if path.startswith("/lib/")
    }


def test_a_board_that_mip_installed_records_and_verifies(address, tmp_path):
    with Emulator(BOARD, frozen=False) as emulator:
        with deploy.opened(emulator.port) as repl:
            repl.make_folder("/lib")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "mpremote",
                "connect",
                emulator.port,
                "mip",
                "install",
                "--target",
                "/lib",
                f"{address}/package.json",
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with deploy.opened(emulator.port) as repl:
            repl.write_file("/quipu.json", json.dumps(images.board_facts(BOARD)).encode())
            repl.write_file("/quipu.entropy", bytes(range(16)))
            repl.write_file("/main.py", deploy.MAIN.encode())
        with quipu.connect(emulator.port, 60) as board:
            board.put("mode", b"run")
            board.sync(tmp_path / "archive")
            assert quipu.verify(tmp_path / "archive", board).verdict == "match"
