"""Queries, views and subscriptions (shared_kernel/query.py, watch.py) with native code where the
port has it. Imported on use."""

from shared_kernel import query
from shared_kernel.query import select  # noqa: F401
from shared_kernel.watch import Watch

try:
    from .follow import follow
except (ImportError, SyntaxError, ValueError):  # no native code on this port
    follow = query.follow


def aggregate(kernel, filter, field=None):
    return query.aggregate(kernel, filter, field, follow)


def watch(kernel):
    return Watch(kernel, follow)
