"""Hooks of mkdocs: what the site has besides the pages in ``docs/``.

The pages are plain Markdown and link to files of the repository, as a reader of the files needs it.
Here such a link leads to a page that shows the file; pages of the repository outside ``docs/`` and
notebooks become pages; the help of every command is written out; formulas become MathML; and the
three folders of sources are shown to mkdocstrings as the one package that they are.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from command_reference import command_reference
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs"
PAGES = {"CHANGELOG.md": "changelog.md", "examples/helsinki/README.md": "helsinki.md"}
"""Pages of the repository outside ``docs/``, and what they are called in the site."""

COMMANDS = "<!-- rsaug commands -->"
"""Where the help of the commands goes."""

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_FORMULA = re.compile(r"^\$\$(.+?)\$\$$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"<code>[^<]*</code>")
_KINDS = {".py": "python", ".toml": "toml", ".json": "json", ".yaml": "yaml", ".sh": "sh"}
_package: list[Path] = []


@event_priority(100)  # before mkdocstrings reads where the sources are
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lay the sources out as they are installed, for mkdocstrings to read."""
    folder = Path(tempfile.mkdtemp(prefix="rsaug-docs-"))
    _package.append(folder)
    package = folder / "rsaug"
    package.mkdir()
    for path in (ROOT / "rsaug").iterdir():
        (package / path.name).symlink_to(path)
    for name in ("pipelines", "downstream"):
        (package / name).symlink_to(ROOT / name)
    handlers: Any = config.plugins["mkdocstrings"].config.handlers
    handlers.setdefault("python", {})["paths"] = [str(folder)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages for notebooks, for pages outside ``docs/`` and for the files that are linked to."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            files.remove(file)
            name = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, name, content=notebook_page(file.content_string)))
    for path in sorted(_linked(files)):
        page = File.generated(config, _shown_as(path), content=file_page(ROOT / path, path))
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links to the repository lead to pages of the site, and write out the commands."""
    markdown = _FORMULA.sub(_formula, markdown)
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = _target(here, link.group(2))
        if link.group(2).endswith(".ipynb"):
            return link.group(1) + link.group(2).removesuffix(".ipynb") + ".md" + link.group(3)
        if target is None:
            return link.group(0)
        return link.group(1) + posixpath.relpath(target, posixpath.dirname(here)) + link.group(3)

    return _LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have pipes in code in tables be pipes: Markdown elsewhere wants them escaped there, too."""
    return _CODE.sub(lambda code: code.group().replace("\\|", "|"), html)


def on_post_build(config: MkDocsConfig) -> None:
    """Remove what was laid out for mkdocstrings."""
    while _package:
        shutil.rmtree(_package.pop())


def _formula(found: re.Match[str]) -> str:
    """A formula as MathML, which browsers draw by themselves."""
    return f"<div>{convert(found.group(1).strip(), display='block')}</div>"


def notebook_page(text: str) -> str:
    """A notebook as Markdown: its texts, and its code in blocks."""
    cells = json.loads(text)["cells"]
    return "\n\n".join(_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells) + "\n"


def _cell(kind: str, source: str) -> str:
    return f"```python\n{source}\n```" if kind == "code" else source


def file_page(path: Path, name: str) -> str:
    """A file of the repository as a page, left out of the search."""
    kind = _KINDS.get(path.suffix, "text")
    text = path.read_text(encoding="utf-8").rstrip()
    fence = "`" * 3
    while fence in text:
        fence += "`"
    head = f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n# {name}\n\n"
    return f"{head}{fence}{kind}\n{text}\n{fence}\n"


def _linked(files: Files) -> set[str]:
    """Files of the repository outside ``docs/`` that pages link to, by path from the root."""
    found: set[str] = set()
    for file in files.documentation_pages():
        for link in _LINK.finditer(file.content_string):
            path = _in_repository(file.src_uri, link.group(2))
            if path and path not in PAGES and (ROOT / path).is_file():
                found.add(path)
    return found


def _target(here: str, link: str) -> str | None:
    """Where in the site a link to the repository leads; None for any other link."""
    path = _in_repository(here, link)
    if path is None:
        return None
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return PAGES.get(path) or (_shown_as(path) if (ROOT / path).is_file() else None)


def _in_repository(here: str, link: str) -> str | None:
    """Path from the root of what a page links to, where that is not in the page's own ``docs/``."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    origins = {name: source for source, name in PAGES.items()}
    origin = origins.get(here, f"{DOCS}/{here}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    if path.startswith("..") or (origin.startswith(f"{DOCS}/") and path.startswith(f"{DOCS}/")):
        return None
    return path


def _shown_as(path: str) -> str:
    return f"files/{path}.md"
