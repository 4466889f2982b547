"""A look at an HTML page as a browser takes it apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "meta", "br"}


@dataclass
class Page(HTMLParser):
    """The elements and the text of a page.

    Attributes:
        elements: Name and attributes of each, in their order.
        text: All text but that of styles.
        open: Names of the elements that are not closed.
    """

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, content: str) -> Page:
        """The page in a document, which has to be well formed."""
        page = cls()
        page.feed(content)
        page.close()
        assert not page.open, f"never closed: {page.open}"
        return page

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element, which has to be the last one opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take note of text."""
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of the elements of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def assert_stands_alone(content: str) -> Page:
    """The page, which has no script and asks for nothing but what is in it."""
    page = Page.of(content)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "iframe", "object", "embed", "link", "base", "form", "audio"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "srcset" not in attributes
        assert (attributes.get("src") or "data:").startswith("data:image/webp;base64,") or (
            "src" not in attributes
        )
        assert (attributes.get("href") or "#").startswith("#")
        assert "url(" not in (attributes.get("style") or "")
    style = content[content.index("<style>") : content.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    return page
