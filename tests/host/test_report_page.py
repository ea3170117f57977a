"""`quipu report`: one page that says what the archive's frames say, in a real browser, light and
dark, on a telephone too."""

import json
import math
import re
import shutil
from collections import Counter

import pytest
from playwright.sync_api import sync_playwright
from quipu.archive.files import Archive
from quipu.errors import ArchiveError
from quipu.formats import report, vectors

from shared_kernel import frames as f
from shared_kernel import kernel as k
from shared_kernel import primitives
from shared_kernel.frame_names import NAMES
from shared_kernel.snapshot import Header
from tests.host.past import CONFIG, START, Log, replayed
from tests.host.test_cli import answer, error, flip

HOSTILE = "<script>&\"'"  # a key's name
WEAR = {
    "sectors": [
        {"state": "log", "erases": 3},
        {"state": "in use", "erases": 1},
        {"state": "bad <b>", "erases": None},
    ]
}


@pytest.fixture(scope="module")
def log():
    """A life with three boots, numeric keys that rise and fall and are deleted, a graph, and
    hostile names."""
    log = Log("report/<1>")
    log.clock(START)
    nodes, records = [], []
    for i in range(900):
        log.put("temp", "%.1f" % (20 + 5 * math.sin(i / 90)), log.tick + 40_000)
        if i % 300 == 200:
            log.boot()
            log.clock(START + i * 60000)
        if i % 100 == 0:
            records.append(log.insert(i, -i, i % 4, b"<i>"))
            nodes.append(log.add(k.CREATE_NODE, f.create_node(3, records[-1]))) if len(
                nodes
            ) < 6 else None
        if i % 128 == 127:
            log.add(f.CHECKPOINT, log.kernel.root())
            log.add(k.CREATE_EDGE, f.create_edge(2, nodes[-1], nodes[0]))
        if i == 450:
            log.put("mode", "armed")
    log.put(HOSTILE, "7")
    return log


@pytest.fixture(scope="module")
def folder(log, tmp_path_factory):
    return log.archive(tmp_path_factory.mktemp("report") / "a")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(folder):
    """The page, with a wear map."""
    wear = folder.parent / "map.json"
    wear.write_text(json.dumps(WEAR))
    told = answer("report", folder, "-o", folder.parent / "r.html", "--wear", wear)
    assert told["verdict"] == "match" and told["bytes"] > 10000
    return folder.parent / "r.html"


@pytest.fixture
def opened(browser, made, request):
    """The page in the browser, which must have asked for nothing else and complained of nothing."""
    options = getattr(request, "param", {})
    page = browser.new_page(**options)
    asked, said = [], []
    page.on("request", lambda each: asked.append(each.url))
    page.on("console", lambda each: said.append(each.text))
    page.on("pageerror", lambda each: said.append(str(each)))
    page.goto(made.as_uri())
    yield page
    assert asked == [made.as_uri()] and not said
    page.close()


def section(page, heading):
    """Return the text of each SVG text of the pictures under a heading."""
    return page.evaluate(
        """heading => {
        const out = [];
        let at = [...document.querySelectorAll('h2')].find(each => each.textContent == heading);
        while ((at = at.nextElementSibling) && at.tagName != 'H2')
            out.push(...[...at.querySelectorAll('.broad text')].map(each => each.textContent));
        return out;
    }""",
        heading,
    )


def test_the_page_says_what_the_frames_say(opened, log):
    assert opened.title() == "Report on report/<1>"
    assert opened.locator(".verdict").inner_text().split(":")[0] == "\u2713 match"
    facts = dict(
        zip(opened.locator("dt").all_inner_texts(), opened.locator("dd").all_inner_texts())
    )
    assert facts["chain head"] == log.head.hex() and facts["state root"] == log.kernel.root().hex()
    assert (
        facts["boots"] == "4"
        and facts["missing"] == "nothing"
        and facts["frames"].startswith("%d, " % len(log.frames))
    )
    counts = Counter(NAMES[each[1] & ~0x40] for each in log.frames)
    told = section(opened, "Frames by type")
    assert len(counts) > 6
    for name, count in counts.items():
        assert told[told.index(name) + 1] == str(count)
    assert [each for each in told if each.startswith("boot ")] == ["boot 1", "boot 2", "boot 3"]
    held = section(opened, "What the state held")
    for pool in ("records", "nodes", "edges", "keys"):
        assert "%d %s" % (getattr(log.kernel, pool).live(), pool) in held


def test_every_mark_is_one_of_the_data(opened, folder):
    data = report.collect(folder)
    bars = opened.locator(".broad svg[aria-label^='Frames of'] rect.bar").count()
    assert bars == sum(sum(count > 0 for count in counts) for counts in data["types"].values()) > 20
    charts = opened.locator(".broad svg[aria-label^='Key ']")
    assert charts.count() == len(data["keys"]) == 2  # of three: one never was a number
    points = charts.nth(0).locator("polyline").get_attribute("points").split()
    assert len(points) == len(data["keys"][0]["bins"]) > 50
    heights = [float(each.split(",")[1]) for each in points]
    last = [last for _, (_, _, last) in sorted(data["keys"][0]["bins"].items())]
    for i in range(1, len(last)):  # higher on the page where the value is higher
        assert (heights[i] < heights[i - 1]) == (last[i] > last[i - 1]) or abs(
            heights[i] - heights[i - 1]
        ) < 0.2
    graph = opened.locator(".broad svg[aria-label^='Graph of']")
    assert graph.locator("circle.node").count() == len(data["state"]["nodes"]) == 6
    assert graph.locator("path.stroke").count() == len(data["state"]["edges"]) == 7
    assert section(opened, "Wear of the flash") == ["3", "log", "1", "in use", "?", "bad <b>"]


def test_names_are_text_and_nothing_runs(opened, made):
    assert HOSTILE in opened.locator("h3").all_inner_texts()[1].replace("\\", "")
    assert opened.locator("script, link, img, iframe, object, [onload], [onclick]").count() == 0
    text = made.read_text()
    assert "default-src 'none'" in text and not re.search(r"https?:|url\((?!#)", text)


def luminance(colour):
    """Return the relative luminance of "rgb(r, g, b)" as WCAG 2 defines it."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    parts = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(
    "opened",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}],
    indirect=True,
    ids=["light", "dark"],
)
def test_everything_stands_out_from_the_paper(opened, request):
    colours = opened.evaluate("""() => {
        const out = [['paper', getComputedStyle(document.body).backgroundColor]];
        for (const [what, selector, property] of [['text', 'body', 'color'], ['note', '.note', 'color'], ['term', 'dt', 'color'],
                ['label', 'svg text', 'fill'], ['soft label', 'svg text.soft', 'fill'], ['bar', 'svg .bar', 'fill'],
                ['line', 'svg .stroke', 'stroke'], ['boot', 'svg .boot', 'stroke']])
            out.push([what, getComputedStyle(document.querySelector(selector))[property]]);
        return out;
    }""")
    paper = luminance(colours[0][1])
    assert (paper > 0.5) == ("light" in request.node.name)
    for what, colour in colours[1:]:
        high, low = sorted((luminance(colour), paper), reverse=True)
        least = 3 if what in ("bar", "line", "boot") else 4.5  # WCAG 2 AA: graphics, text
        assert (high + 0.05) / (low + 0.05) >= least, (what, colour)


@pytest.mark.parametrize("opened", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_a_telephone_scrolls_one_way(opened):
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert not opened.locator(".broad").first.is_visible()
    # nothing is cut, and no text is too small to read
    worst = opened.evaluate("""() => {
        const out = [99, 0, ''];
        for (const svg of document.querySelectorAll('.narrow svg')) {
            const box = svg.getBoundingClientRect();
            for (const each of svg.querySelectorAll('text')) {
                const it = each.getBoundingClientRect();
                out[0] = Math.min(out[0], it.height);
                const over = Math.max(box.left - it.left, it.right - box.right);
                if (over > out[1]) { out[1] = over; out[2] = each.textContent; }
            }
        }
        return out;
    }""")
    assert worst[0] >= 9 and worst[1] <= 1, worst
    headings = opened.locator("h1, h2, h3")
    assert headings.count() > 8
    for i in range(headings.count()):
        assert headings.nth(i).evaluate("each => each.scrollWidth <= each.clientWidth")
    # the newest part of the log is on the screen, too
    axis = opened.locator(".narrow svg[aria-label^='Frames of'] line.axis").last
    assert axis.evaluate("each => each.getBoundingClientRect().right") <= 390


@pytest.mark.parametrize(
    "opened",
    [{"viewport": {"width": width, "height": 800}} for width in (400, 800, 1400)],
    indirect=True,
)
def test_no_text_of_an_axis_stands_on_another(opened):
    assert opened.evaluate("document.documentElement.scrollWidth") <= opened.viewport_size["width"]
    overlaps = opened.evaluate("""() => {
        const out = [];
        for (const svg of document.querySelectorAll('svg.plain')) {
            if (!svg.getBoundingClientRect().width) continue;
            const all = [...svg.querySelectorAll('text')].map(each => [each.textContent, each.getBoundingClientRect()]);
            for (let i = 0; i < all.length; i++) for (let j = i + 1; j < all.length; j++) {
                const [a, b] = [all[i][1], all[j][1]];
                if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4)
                    out.push([all[i][0], all[j][0]]);
            }
        }
        return out;
    }""")
    assert overlaps == []


def test_lines_differ_without_colour(opened):
    lines = opened.locator(".broad svg[aria-label^='How many records'] polyline")
    assert len({lines.nth(i).get_attribute("stroke-dasharray") for i in range(lines.count())}) == 4


@pytest.mark.parametrize("indexed", (False, True))
def test_a_damaged_archive_is_told_up_to_the_damage(folder, tmp_path, browser, indexed):
    altered = tmp_path / "a"
    answer("index", folder)
    shutil.copytree(folder, altered)
    flip(altered / "frames" / "0000000000.log", 20000)
    for index in altered.glob("index.sqlite*") if not indexed else ():
        index.unlink()
    told = answer("report", altered, "-o", tmp_path / "r.html", code=1)
    assert told["verdict"] == "mismatch"
    page = browser.new_page()
    page.goto((tmp_path / "r.html").as_uri())
    seq = report.collect(altered)["verdict"]["first_divergence"]["seq"]
    assert 100 < seq < 900
    assert page.locator(".verdict").inner_text().startswith(
        "\u2717 mismatch"
    ) and "At seq %d: frame CRC" % seq in page.inner_text("body")
    assert "seq 0 to %d" % (seq - 1) in page.inner_text("dl")
    page.close()


def test_a_gap_is_hatched(log, folder, tmp_path, browser):
    archive = Archive.create(tmp_path / "a", log.name, log.identity)
    archive.append(b"".join(log.frames[:300]))
    heads = [f.NO_HEAD]
    for each in log.frames:
        heads.append(primitives.hash(heads[-1] + each))
    archive.add_segment(600, heads[600])
    archive.append(b"".join(log.frames[600:]))
    kernel = replayed(folder, 699)  # from here on the state is known again
    header = Header(699, 2, 1, kernel.arena.size, log.name, heads[700], kernel.root())
    archive.add_snapshot(699, header.encode() + bytes(kernel.arena.bytes))
    archive.close()
    assert answer("report", tmp_path / "a", "-o", tmp_path / "r.html", code=1)["verdict"] == "gap"
    page = browser.new_page()
    page.goto((tmp_path / "r.html").as_uri())
    pictures = page.locator(
        ".broad svg:has(polyline), .broad svg[aria-label^='Frames of'], .broad svg[aria-label^='Vectors']"
    ).count()
    assert page.locator(
        ".broad rect.gap[fill='url(#hatch-broad)']"
    ).count() == pictures > 2 and "seq 300 to 599" in page.inner_text("dl")
    page.close()


def test_what_cannot_be_reported(tmp_path, folder):
    empty = Log()
    Archive.create(tmp_path / "e", empty.name, empty.identity).close()
    with pytest.raises(ArchiveError, match="no frames"):
        report.collect(tmp_path / "e")
    assert "no archive" in error("report", tmp_path / "none", "-o", tmp_path / "r.html", code=2)[1]
    (tmp_path / "map.json").write_text('{"sectors": [{"state": 1}]}')
    assert (
        "no flash map"
        in error(
            "report", folder, "-o", tmp_path / "r.html", "--wear", tmp_path / "map.json", code=2
        )[1]
    )
    assert not (tmp_path / "r.html").exists()


def test_a_long_log_makes_no_longer_page(tmp_path):
    log = Log()
    for i in range(20000):
        log.put("k%d" % (i % CONFIG[4]), str(i))
    told = answer("report", log.archive(tmp_path / "a"), "-o", tmp_path / "r.html")
    assert told["bytes"] < 200000


# -- time from left to right -----------------------------------------------------------------------


def test_frames_stand_at_their_times(tmp_path):
    log = Log()
    log.clock(START)
    for i in range(10):
        log.put("a", str(i), tick=(i + 1) * 1000)
    log.boot()
    log.clock(START + 100_000)  # it was off for 90 s
    log.put("a", "last", tick=1000)
    folder = log.archive(tmp_path / "a")
    data = report.collect(folder)
    assert (data["axis"], data["low"], data["high"]) == ("time", START - 10, START + 101_001)
    put = data["types"]["put"]
    bins = data["bins"]
    assert put[-1] == 1 and sum(put[: bins // 8]) == 10 and sum(put[bins // 8 : -1]) == 0
    (band,) = data["bands"]
    assert (band["kind"], band["from"]) == ("off", START + 10_000)
    assert abs(band["to"] - START - 100_000) <= 10
    by_seq = report.collect(folder, axis="seq")
    assert (by_seq["axis"], by_seq["low"], by_seq["high"]) == ("seq", 0, 15)
    assert by_seq["types"]["put"] == [0, 0] + [1] * 10 + [0, 0, 1] and not by_seq["bands"]


def test_without_a_clock_frames_stand_by_their_seqs(tmp_path):
    log = Log()
    for i in range(10):
        log.put("a", str(i))
    assert report.collect(log.archive(tmp_path / "a"))["axis"] == "seq"


def test_vectors_are_means_by_tag(tmp_path):
    log = Log()
    log.clock(START)
    for i in range(4):
        log.insert(i, -i, i % 2)
    found = report.collect(log.archive(tmp_path / "a"), axis="seq")["vectors"]
    assert [(each["tag"], each["count"]) for each in found["tags"]] == [(0, 2), (1, 2)]
    assert [cell[1:] for cell in found["tags"][1]["cells"]] == [
        [0, 1, 1],
        [1, -1, 1],
        [0, 3, 1],
        [1, -3, 1],
    ]
    assert (found["low"], found["high"]) == (-3, 3)


def test_a_plane_keeps_what_differs_most():
    """Along the first axis points on a line keep their order and their distances."""
    line = [[3.0 * i, 4.0 * i, 1.0] for i in range(-5, 6)]
    places = vectors.plane(line)
    steps = [b[0] - a[0] for a, b in zip(places, places[1:], strict=False)]
    assert (
        all(abs(abs(each) - 5) < 1e-6 for each in steps) and len({each > 0 for each in steps}) == 1
    )
    assert all(abs(y) < 1e-6 for _, y in places)
    assert vectors.plane([[1.0], [1.0], [1.0]]) == [(0, 0)] * 3


def test_a_record_on_the_plane_says_what_it_is(opened):
    signs = opened.locator(".broad svg[aria-label$='records on a plane'] .dot title")
    assert signs.count() == 9
    told = signs.first.text_content()
    assert re.match(r'record \d+, tag \d, "<i>", 2023-11-14 22:\d\d', told)
    assert opened.locator(".broad .key").count() == 1
