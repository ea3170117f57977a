"""Writes package.json, by which `mpremote mip install` puts the board's side there as source: run
it when a file comes or goes."""

import json
from importlib import metadata

from quipu.build import images


def package() -> str:
    """Return the text of package.json: every file of shared_kernel and of the firmware, by its
    place under /lib."""
    root = images.checkout_root()
    urls = [
        [f"{name}/{path.name}", str(path.relative_to(root))]
        for name, folder in (
            ("quipu", root / "firmware" / "quipu"),
            ("shared_kernel", root / "shared_kernel"),
        )
        for path in sorted(folder.glob("*.py"))
    ]
    rows = ",\n".join("  " + json.dumps(each) for each in urls)
    return f'{{\n "version": {json.dumps(metadata.version("quipu-mcu"))},\n "urls": [\n{rows}\n ]\n}}\n'


if __name__ == "__main__":
    (images.checkout_root() / "package.json").write_text(package())
