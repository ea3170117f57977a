"""What must hold in every arena, checked on its bytes alone: written from the layout, without the
kernel's code."""

import struct

HEADER_WORDS = 32  # magic, rules, 7 of configuration, seq, 3 for each of 4 pools; the rest is zero
RECORD, NODE, EDGE, KEY = range(4)


def slots_of(config):
    """Return ([for each pool: (the word offsets of its slots, the words of a slot)], the words of
    the arena).

    Each slot stands at the next multiple of its length within a chunk, so that none straddles a
    chunk; one larger than a chunk takes whole chunks.
    """
    dim, records, nodes, edges, keys, meta_bytes, value_bytes = config
    at = HEADER_WORDS
    pools = []
    for words, capacity in (
        (5 + dim + -(-meta_bytes // 4), records),
        (7, nodes),
        (10, edges),
        (10 + -(-value_bytes // 4), keys),
    ):
        slots = []
        for _ in range(capacity):
            inside = at % 256 + -(at % 256) % words
            at += inside - at % 256 if inside + words <= 256 else -at % 256
            slots.append(at)
            at += words if words <= 256 else words + -words % 256
        pools.append((slots, words))
    return pools, at + -at % 256


def walk(w, slots, link, following):
    """Return the slot numbers on a list of links (slot number plus one, 0 at the end)."""
    found = []
    while link:
        assert len(found) <= len(slots), "a list runs in a circle"
        found.append(link - 1)
        link = w[slots[link - 1] + following]
    return found


def number_bucket(w, at, capacity):
    return (w[at + 1] ^ w[at + 1] >> 8 ^ w[at + 1] >> 16) % capacity


def name_bucket(w, at, capacity):
    name = struct.pack("<6I", *w[at + 4 : at + 10])[: w[at + 3] & 255]
    h = 0
    for byte in name:
        h = (h * 33 ^ byte) & 0xFFFFFF
    return h % capacity


def check(data):
    """Assert every rule of the layout on the bytes of an arena."""
    w = struct.unpack("<%dI" % (len(data) // 4), data)
    config = w[2:9]
    pools, end = slots_of(config)
    assert bytes(data[:4]) == b"QUPA" and w[1] == 1 and len(w) == end
    assert not any(w[22:HEADER_WORDS]), "the header's rest is not zero"
    used = []
    inside = set(range(HEADER_WORDS))
    for i in range(4):
        used.append(check_pool(w, i, *pools[i]))
        for at in pools[i][0]:
            slot = set(range(at, at + pools[i][1]))
            assert not inside & slot, "two slots overlap"
            inside |= slot
    assert not any(w[at] for at in range(len(w)) if at not in inside), (
        "a byte outside every slot is not zero"
    )
    check_records(w, config, pools, used)
    check_graph(w, pools, used)
    check_keys(w, pools, used)


def check_pool(w, i, slots, words):
    """Check a pool's counters, free list and index; return the numbers of its slots in use."""
    live, free, fresh = w[10 + 3 * i : 13 + 3 * i]
    used = [n for n in range(len(slots)) if w[slots[n] + 1]]
    assert live == len(used) and fresh <= len(slots) and all(n < fresh for n in used)
    assert len({w[slots[n] + 1] for n in used}) == len(used) and all(
        w[slots[n] + 1] <= w[9] for n in used
    )
    freed = walk(w, slots, free, 2)
    assert sorted(freed + used) == list(range(fresh)), "a slot is lost, or free and in use"
    for n in range(len(slots)):
        if n not in used:
            assert not any(w[slots[n] + 3 : slots[n] + words]), "a free slot is not zeroed"
        if n >= fresh:
            assert w[slots[n] + 2] == 0
    bucket = name_bucket if i == KEY else number_bucket
    indexed = []
    for n in range(len(slots)):
        for member in walk(w, slots, w[slots[n]], 2):
            assert bucket(w, slots[member], len(slots)) == n, "in the chain of another bucket"
            indexed.append(member)
    assert sorted(indexed) == used, "the index does not hold each slot in use once"
    return used


def check_records(w, config, pools, used):
    refs = [w[pools[NODE][0][n] + 4] for n in used[NODE]]
    for n in used[RECORD]:
        at = pools[RECORD][0][n]
        assert w[at + 3] >> 8 == refs.count(n + 1), "a record's count of the nodes that refer to it"
        meta = struct.pack(
            "<%dI" % (pools[RECORD][1] - 5 - config[0]),
            *w[at + 5 + config[0] : at + pools[RECORD][1]],
        )
        size = w[at + 3] & 255
        assert size <= config[5] and not any(meta[size:]), "bytes after the metadata"
    assert all(ref == 0 or ref - 1 in used[RECORD] for ref in refs)


def check_graph(w, pools, used):
    nodes, edges = pools[NODE][0], pools[EDGE][0]
    for first, end, following, before in ((5, 4, 6, 7), (6, 5, 8, 9)):  # out-edges, then in-edges
        listed = []
        for n in used[NODE]:
            members = walk(w, edges, w[nodes[n] + first], following)
            for i, member in enumerate(members):
                assert w[edges[member] + end] == n + 1, "an edge in the list of another node"
                assert w[edges[member] + before] == (members[i - 1] + 1 if i else 0), (
                    "a link back that is wrong"
                )
            ids = [w[edges[member] + 1] for member in members]
            assert ids == sorted(ids, reverse=True), "edges are not newest first"
            listed += members
        assert sorted(listed) == used[EDGE], "an edge that no node lists, or two do"


def check_keys(w, pools, used):
    slots, words = pools[KEY]
    names = []
    for n in used[KEY]:
        at = slots[n]
        size, value_size = w[at + 3] & 255, w[at + 3] >> 8
        name = struct.pack("<6I", *w[at + 4 : at + 10])
        value = struct.pack("<%dI" % (words - 10), *w[at + 10 : at + words])
        assert (
            1 <= size <= 24
            and not any(name[size:])
            and value_size <= w[8]
            and not any(value[value_size:])
        )
        names.append(name[:size])
    assert len(set(names)) == len(names), "two keys of one name"
