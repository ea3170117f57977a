"""For pytest -p: tests with a fault of putback.py in the kernel. QUIPU_PUT_BACK names it."""

import os


def pytest_configure():
    from tests.faults import putback

    putback.put_back(putback.named(os.environ["QUIPU_PUT_BACK"]))
