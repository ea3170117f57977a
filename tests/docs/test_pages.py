"""Every document: its links lead somewhere; the files, make targets and verbs that it names exist;
the glossary has each word once."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
FENCED = re.compile(r"^```.*?^```$", re.S | re.M)
# The words of the field that the code uses, each for one thing.
WORDS = """acknowledge archive arena block board chain head checkpoint command configuration damage frame gap genesis group host kernel
log node policy power cut program unit record recover replay rescue run seal sector seq snapshot state root sync verdict verify"""


def text(page):
    return (ROOT / page).read_text()


def links(page):
    """Return [(target, anchor)] of a page's links, but those into the web."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", FENCED.sub("", text(page)))
    return [(target, anchor) for target, anchor in found if not target.startswith("http")]


def anchors(path):
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page):
    """Return the links of a page that lead nowhere."""
    out = []
    for target, anchor in links(page):
        there = (ROOT / page).parent / target if target else ROOT / page
        if not there.exists() or anchor and anchor not in anchors(there):
            out.append((target, anchor))
    return out


@pytest.mark.parametrize("page", NAMES)
def test_every_link_leads_somewhere(page):
    assert not broken(page)


def test_a_link_that_leads_nowhere_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "there.md").write_text("# There\n")
    (tmp_path / "page.md").write_text(
        "[a](there.md#there) [b](there.md#gone) [c](gone.md) [d](#gone)\n\n# Here\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    assert broken("page.md") == [("there.md", "gone"), ("gone.md", ""), ("", "gone")]


def paths(page):
    """Return the files and folders of the repository that a page names in code."""
    folders = "boards|docs|firmware|host|shared_kernel|tests|tools|bench"
    return {
        each.rstrip("/")
        for each in re.findall(rf"`((?:{folders})/[\w./-]*)`", FENCED.sub("", text(page)))
    }


def in_its_room(path):
    """Return whether the rooms of host/quipu, where the documents say that the host's files are,
    are not there yet."""
    return (
        path.startswith(("host/quipu/", "bench")) and not (ROOT / "host" / "quipu" / "cli").is_dir()
    )


@pytest.mark.parametrize("page", NAMES)
def test_every_file_that_it_names_is_there(page):
    made = {"host/quipu/compiled", "host/quipu/data"}
    missing = [
        each
        for each in paths(page) - made
        if not (ROOT / each).exists() and "NAME" not in each and not in_its_room(each)
    ]
    assert not missing


@pytest.mark.parametrize("page", NAMES)
def test_every_module_that_it_runs_is_there(page):
    modules = [
        each.replace(".", "/")
        for each in re.findall(r"python -m ((?:tests|bench|tools)[\w.]*\w)", text(page))
    ]
    assert not [each for each in modules if not (ROOT / f"{each}.py").exists()]


@pytest.mark.parametrize("page", NAMES)
def test_every_make_target_that_it_names_is_there(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"`make ([a-z-]+)", text(page)))
    named |= {
        target
        for block in FENCED.findall(text(page))
        for target in re.findall(r"^make ([a-z-]+)", block, re.M)
    }
    assert named <= targets, named - targets


def test_every_verb_that_a_document_names_is_there():
    helped = subprocess.run(
        [Path(sys.executable).parent / "quipu", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    verbs = set(re.findall(r"^  ([a-z][a-z-]*)  ", helped, re.M))
    assert len(verbs) > 30
    named = {
        verb
        for page in NAMES
        for verb in re.findall(r"(?:^|`|\$ )quipu ([a-z][a-z-]*)", text(page), re.M)
    }
    assert "sync" in named and named <= verbs, named - verbs


@pytest.mark.parametrize("page", NAMES)
def test_what_it_says_of_installing_is_not_a_strangers_package(page):
    """`quipu` on PyPI is another project: the distribution is quipu-mcu."""
    found = re.findall(r"pip install[^`\n]*", text(page))
    assert not [each for each in found if re.search(r"\bquipu(?!-mcu)\b", each)]


def test_every_document_is_in_the_index_and_in_the_site():
    site = text("mkdocs.yml")
    for page in NAMES:
        name = page.removeprefix("docs/")
        assert name in (
            "index.md",
            "README.md",
        ) or f"]({'../' if name == page else ''}{name})" in text("docs/index.md"), page
        assert re.search(rf": {re.escape(name.lower())}$", site, re.M), page


def test_the_glossary_has_each_word_once_in_order():
    entries = re.findall(r"^- \*\*(.+?)\*\*: \S", text("docs/glossary.md"), re.M)
    assert len(entries) > 60
    assert [each.lower() for each in entries] == sorted({each.lower() for each in entries})
    explained = " ".join(entries).lower()
    assert not [each for each in WORDS.split() if each not in explained]


def built(folder):
    """Build the site of the documents in folder with the command of `make docs`; return its exit
    code and what it printed."""
    command = re.search(r"^docs: .*\n\t(.*)", text("Makefile"), re.M)[1].replace(
        "$(BIN)/mkdocs", f"{sys.executable} -m mkdocs"
    )
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "added, said",
    [
        ("", "Documentation built"),
        ("[gone](gone.md)", "gone.md"),
        ("[gone](boards.md#gone)", "#gone"),
        ("[a file of the code](../Makefile)", "Makefile"),
    ],
)
def test_the_site_is_built_unless_a_link_leads_nowhere(added, said, tmp_path):
    pytest.importorskip("mkdocs")
    for each in (*ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "mkdocs.yml"):
        shutil.copy(each, tmp_path)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "site.py", tmp_path / "tools")
    with (tmp_path / "docs" / "index.md").open("a") as page:
        page.write("\n" + added + "\n")
    code, printed = built(tmp_path)
    assert (code == 0) == (not added) and said in printed, printed
