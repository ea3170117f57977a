"""A hook of mkdocs: the site has the documents of the repository's top folder too, and their links
lead to pages of the site.

mkdocs takes pages from docs/ only. Documents that people look for at the top (README, CONTRIBUTING,
...) become pages of the same name in lower case, and links between both places are rewritten. The
files themselves, read in the repository, need no change."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "LICENSE": "licence.md",
}
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def on_files(files: Any, config: Any) -> Any:
    """Add the documents of the top folder."""
    for name, page in PAGES.items():
        content = (ROOT / name).read_text()
        if name == "LICENSE":
            content = "# Licence\n\n" + content
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links as they are in the repository into links of the site. A link that leads to neither
    stays, and mkdocs refuses it."""
    top = page.file.src_uri in PAGES.values()

    def of_the_site(found: re.Match[str]) -> str:
        target = found[2]
        if top:
            target = PAGES.get(target, target.removeprefix("docs/"))
        elif target.startswith("../"):
            target = PAGES.get(target.removeprefix("../"), target)
        return found[1] + target + found[3]

    return LINK.sub(of_the_site, markdown)
