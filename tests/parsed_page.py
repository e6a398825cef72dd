"""A page of a report as its tags, texts and numbers."""

from html.parser import HTMLParser

_EMPTY = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Keeps what a page holds; stops where tags do not close in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.numbers: list[tuple[str, str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute stands twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag, f"{tag} closes what it did not open"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "data":
            attributes = self.tags[-1][1]
            self.numbers.append((attributes["class"] or "", attributes["value"] or "", data))
        if not self.open or self.open[-1] != "style":
            self.text.append(data)
