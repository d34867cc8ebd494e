"""HTML pages: nothing that a reader sees is lost, except navigation; a loss is counted."""

from __future__ import annotations

import pytest
from trunkline_protocols.knowledge import ArticleFile, ImportProblem
from trunkline_rag.core.articles import Document, parse
from trunkline_rag.core.articles.html_text import count_words


def article(page: str | bytes, name: str = "page.html") -> Document:
    data = page if isinstance(page, bytes) else page.encode()
    (found,) = parse(ArticleFile(name=name, data=data))
    assert isinstance(found, Document), found
    return found


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "<ol><li>Open the menu<ul><li>Behind the gear</li></ul></li><li>Press reset</li></ol>",
            "1. Open the menu\n   - Behind the gear\n2. Press reset",
        ),
        (
            "<table><tr><th>Country</th><th>Fee</th></tr><tr><td>Norway</td><td>12 EUR<br>cash</td></tr></table>",
            "| Country | Fee |\n| --- | --- |\n| Norway | 12 EUR cash |",
        ),
        (
            "<table><caption>Fees</caption><tr><td>Norway</td><td>12</td></tr><tr><td>Peru</td><td>9</td></tr></table>",
            "Fees\n\n| Norway | 12 |\n| --- | --- |\n| Peru | 9 |",
        ),
        ("<table><tr><td>Note</td><td><p>Keep it.</p></td></tr></table>", "Note\n\nKeep it."),
        ("<table><tr><td><table><tr><td>Inner</td></tr></table></td></tr></table>", "Inner"),
        ("<dl><dt>-a</dt><dt>--all</dt><dd>Lists all.</dd></dl>", "-a  \n--all  \nLists all."),
        ("<dl><dt>Modes</dt><dd><ul><li>fast</li></ul></dd><dt>Last</dt></dl>", "Modes\n\n- fast\n\nLast"),
        ("<p>Harbour Street 5<br>Springfield</p>", "Harbour Street 5  \nSpringfield"),
        ("<blockquote>Direct text<p>Inner.</p></blockquote>", "> Direct text\n>\n> Inner."),
        ("<pre>axis:\n  speed: 5</pre>", "```\naxis:\n  speed: 5\n```"),
        ("<pre>one<br>  two</pre>", "```\none\n  two\n```"),
        ("<div>One.</div><section>Two.</section>Three.<aside>Four.</aside>", "One.\n\nTwo.\n\nThree.\n\nFour."),
        ("<details><summary>More</summary>Less.</details>", "More\n\nLess."),
        ("<article>First.</article><article>Second.</article>", "First.\n\nSecond."),
        ("<article><header>By us</header>First.<footer>Dated</footer></article>", "By us\n\nFirst.\n\nDated"),
        ("<form><label>Your name</label><button>Send</button></form>", "Your name\n\nSend"),
        ("<div hidden>Second tab.</div>", "Second tab."),
        ("<figure><img alt='x'><figcaption>Fig. 1</figcaption></figure>", "Fig. 1"),
        ("<p>a<wbr>b<b>c</b> H<sub>2</sub>O <s>20</s> 15</p>", "abc H2O ~~20~~ 15"),
        ("<p>One&nbsp;two\nthree</p>", "One two three"),
        ("<p>Use <code>a_b</code> &lt;file&gt;</p>", "Use `a_b` <file>"),
        ("<p>See <a href='https://example.org/x'>us</a> or <a href='b.html'>here</a>.</p>",
         "See [us](https://example.org/x) or here."),
        ("<h2>Fees<a href='#fees'>¶</a></h2><p>None.</p>", "## Fees\n\nNone."),
        ("<my-card>One</my-card><my-card>Two</my-card>", "One Two"),
        ("<svg><text>Axis</text></svg><math><mi>x</mi></math>", "Axisx"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢kan"),
    ],
)  # fmt: skip
def test_everything_that_a_reader_sees_is_in_the_text(body: str, text: str) -> None:
    """Each kind of element, also directly in the body and nested in others."""
    found = article(f"<html><head><title>T</title></head><body>{body}</body></html>")
    assert found.text == text
    assert found.words is not None
    assert found.words.share == 1.0
    assert found.words.visible > 0


@pytest.mark.parametrize(
    "page",
    [
        "<body><nav>Menu</nav><header>Shop</header><p>Text.</p><footer>Imprint</footer></body>",
        "<body><div role='navigation'>Menu</div><div role='main'><p>Text.</p></div><div>Ad</div></body>",
        "<body><div role='banner'>Shop</div><p>Text.</p><div role='contentinfo'>Imprint</div></body>",
        "<body><script>x()</script><style>p{}</style><noscript>Enable</noscript><p>Text.</p><template>t</template></body>",
        "<body><p>Text.</p><iframe>old</iframe><video>old</video><!-- note --></body>",
        "<body>Ad<main>Text.</main></body>",
    ],
)
def test_navigation_and_what_is_never_shown_is_left_out(page: str) -> None:
    """By element, and by the role that stands for it."""
    assert article(f"<title>T</title>{page}").text == "Text."


def test_main_element_with_little_text_does_not_hide_the_page() -> None:
    """Some pages mark only their introduction."""
    assert "parcel" in article("<main>Hello</main><div>The parcel takes five days to arrive.</div>").text


def test_text_of_two_main_elements_is_read_once() -> None:
    """One may be inside of another."""
    found = article("<main>One.<div role='main'>Two.</div></main><main>Three.</main>")
    assert found.text.split() == ["One.", "Two.", "Three."]


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ("<meta charset='windows-1252'>", "cp1252"),
        ("<meta charset=iso-8859-1>", "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-15">', "iso8859-15"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>', "cp1252"),
        ("<meta charset=utf-8>", "utf-8"),
        ("", "utf-8"),
        ("", "cp1252"),
    ],
)
def test_declared_encoding_is_used_as_browsers_do(declaration: str, encoding: str) -> None:
    """Without a declaration, UTF-8 if the bytes are valid, else windows-1252."""
    found = article(f"{declaration}<title>Gebühr</title><p>Die Gebühr beträgt 5 €.</p>".encode(encoding))
    assert (found.title, found.text) == ("Gebühr", "Die Gebühr beträgt 5 €.")


@pytest.mark.parametrize("declared", ["utf-8", "unicode_escape", "base64", "utf-7", "nonsense"])
def test_encoding_that_is_wrong_or_no_encoding_of_pages_refuses_the_page(declared: str) -> None:
    """By name."""
    (problem,) = parse(ArticleFile(name="a.html", data=b"<meta charset=%s><p>\xfc</p>" % declared.encode()))
    assert isinstance(problem, ImportProblem)
    assert declared.upper() in problem.reason.upper()


def test_lost_words_are_counted_with_their_repetitions() -> None:
    """Markup of the Markdown is no part of a word, and addresses are no words."""
    counted = count_words("one one two_three four", "**one** `two_three`\n[x](https://example.org/four)")
    assert (counted.visible, counted.kept) == (4, 2)
    assert counted.share == 0.5
    assert count_words("", "").share == 1.0


def test_page_without_text_is_reported() -> None:
    """Scripts may make all of it."""
    (problem,) = parse(ArticleFile(name="app.html", content="<body><div id=app></div><script>go()</script></body>"))
    assert problem == ImportProblem(name="app.html", reason="text is empty")
