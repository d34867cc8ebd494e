"""Modules shared by both pages, retries of the chat page, and the imports of all modules."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.page_modules import PAGE, open_modules, run_module

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def modules(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """One page for all tests, since the modules are pure."""
    async with open_modules(tmp_path_factory.mktemp("modules")) as page:
        yield page


# -- Markdown and quotes ---


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("## Title ##", [{"type": "heading", "level": 2, "text": "Title"}]),
        ("one\ntwo\n\nthree", [{"type": "paragraph", "text": "one\ntwo"}, {"type": "paragraph", "text": "three"}]),
        ("```\n# code\n```", [{"type": "code", "text": "# code"}]),
        ("---", [{"type": "rule"}]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", [{"type": "table", "rows": [["a", "b"], ["1", "2"]]}]),
    ],
)
async def test_markdown_is_split_into_blocks(modules: Page, source: str, blocks: list[dict[str, object]]) -> None:
    """One block per construct."""
    assert await run_module(modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", source) == blocks


async def test_lists_keep_their_start_and_their_nesting(modules: Page) -> None:
    """An ordered list that begins with 3, with a list inside an item."""
    (block,) = await run_module(
        modules, "shared/markdown-parser.js", "return m.parseBlocks(x);", "3. three\n   - inner\n4. four"
    )
    assert (block["ordered"], block["start"], len(block["items"])) == (True, 3, 2)
    assert [inner["type"] for inner in block["items"][0]] == ["paragraph", "list"]


HOSTILE_ARTICLE = """
![pixel](https://tracker.example/pixel.png) <img src="https://tracker.example/raw.png">
[![both](//tracker.example/b.png)](https://shop.example)

[script](javascript:alert(1)) [data](data:text/html,x) [file](file:///etc/passwd) [path](/v1/ops) [host](//evil.example)

[web](https://shop.example/returns) [mail](mailto:help@shop.example) <iframe src="https://evil.example"></iframe>
"""


async def test_images_and_links_of_an_article_are_inert(modules: Page) -> None:
    """Nothing is loaded; a link opens http, https and mailto only, without opener and referrer."""
    body = """
        const parent = document.createElement('div');
        m.renderMarkdown(parent, x, { links: true });
        const tags = [...parent.querySelectorAll('*')].map((node) => node.localName);
        const links = [...parent.querySelectorAll('a')].map((node) => [node.protocol, node.rel, node.target]);
        return { tags: [...new Set(tags)].sort(), links, text: parent.textContent };
    """
    rendered = await run_module(modules, "shared/markdown.js", body, HOSTILE_ARTICLE)
    assert rendered["tags"] == ["a", "p"]
    assert {protocol for protocol, _, _ in rendered["links"]} == {"https:", "mailto:"}
    assert {(rel, target) for _, rel, target in rendered["links"]} == {("noopener noreferrer", "_blank")}
    assert '<img src="https://tracker.example/raw.png">' in rendered["text"]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See https://shop.example/returns.", ["https://shop.example/returns"]),
        ("(https://shop.example/a_(b)_c), then", ["https://shop.example/a_(b)_c"]),
        ("**https://shop.example/x**", ["https://shop.example/x"]),
        ("Write to help@shop.example!", ["mailto:help@shop.example"]),
        ("mailto:help@shop.example", ["mailto:help@shop.example"]),
        ("[Returns](https://shop.example/returns)", ["https://shop.example/returns"]),
        ("`https://shop.example`", []),
        ("javascript:alert(1) ftp://a.example data:text/html,x //a.example https: https://", []),
        ("[x](javascript:alert(1)) [y](https:evil) [z](/v1/ops) [w](JAVASCRIPT://a.example/%0aalert(1))", []),
        ('<a href="https://shop.example">shop</a>', ["https://shop.example/"]),
    ],
)
async def test_addresses_become_links_if_they_are_web_or_mail(modules: Page, text: str, links: list[str]) -> None:
    """As people at the desk write them; markup stays text, and without the option there is no link."""
    body = """
        const draw = (options) => {
            const parent = document.createElement('div');
            m.renderMarkdown(parent, x, options);
            return { text: parent.textContent, rels: [...parent.querySelectorAll('a')].map((node) => node.rel),
                     links: [...parent.querySelectorAll('a')].map((node) => node.href) };
        };
        return [draw({ links: true, addresses: true }), draw({})];
    """
    linked, plain = await run_module(modules, "shared/markdown.js", body, text)
    assert [link.rstrip("/") for link in linked["links"]] == [link.rstrip("/") for link in links]
    assert set(linked["rels"]) <= {"noopener noreferrer"}
    assert plain["links"] == []
    if "<a" in text:
        assert text in linked["text"]


@pytest.mark.parametrize(
    ("source", "headings"),
    [
        ("# a\n\n## b\n\n# c", ["h2", "h3", "h2"]),
        ("## a\n\n#### b\n\n## c", ["h2", "h3", "h2"]),
        ("#### a\n\n# b\n\n#### c", ["h2", "h2", "h3"]),
        ("text\n\n> # quoted\n\n### a", ["h2", "h2"]),
    ],
)
async def test_headings_of_a_text_skip_no_level(modules: Page, source: str, headings: list[str]) -> None:
    """Readers with a screen reader move by headings."""
    body = """
        const parent = document.createElement('div');
        m.renderMarkdown(parent, x, { headingLevel: 2 });
        return [...parent.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((node) => node.localName);
    """
    assert await run_module(modules, "shared/markdown.js", body, source) == headings


async def test_every_block_has_the_direction_of_its_language(modules: Page) -> None:
    """Except for code."""
    body = """
        const parent = document.createElement('div');
        m.renderMarkdown(parent, x);
        return [...parent.children].map((node) => [node.localName, node.dir]);
    """
    blocks = await run_module(modules, "shared/markdown.js", body, "שלום\n\n- one\n\n```\ncode\n```")
    assert blocks == [["p", "auto"], ["ul", "auto"], ["pre", ""]]


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("Refunds take **5 days**.", "Refunds take 5 days.", ["Refunds take **5 days"]),
        ("The “quick” fox", 'the "quick" fox', ["The “quick” fox"]),
        ("one two three four", "one … four", ["one", "four"]),
        ("nothing like it", "refund", []),
    ],
)
async def test_quote_is_found_across_markup(modules: Page, text: str, quote: str, found: list[str]) -> None:
    """Only letters and digits are compared."""
    body = "return m.findQuote(x[0], x[1]).map(([from, to]) => x[0].slice(from, to));"
    assert await run_module(modules, "shared/quote.js", body, [text, quote]) == found


async def test_quote_from_markdown_source_is_found_without_its_ordinals(modules: Page) -> None:
    """A rendered list has no numbers in its text."""
    body = "return m.locateQuote(x[0], x[1], x[1]).map(([from, to]) => x[0].slice(from, to));"
    found = await run_module(
        modules, "shared/quote.js", body, ["Open the app. Hold the button.", "1. Open the app.\n2. Hold"]
    )
    assert found == ["Open the app. Hold"]


@pytest.mark.parametrize(
    ("text", "quote", "before"),
    [
        ("Yes. “You have 30 days.” Then", "You have 30 days.", "Yes. “You have 30 days.”"),
        ("Press OK (twice), then wait.", "press OK (twice)", "Press OK (twice),"),
        ("A book. OK!", "OK", "A book. OK!"),
        ("A booking.", "book", None),
        ("Anything.", "...", None),
    ],
)
async def test_end_of_a_quote_includes_its_punctuation(
    modules: Page, text: str, quote: str, before: str | None
) -> None:
    """A quote is found from word to word only."""
    body = "const at = m.quoteEnd(x[0], [x[1]]); return at === null ? null : x[0].slice(0, at);"
    assert await run_module(modules, "shared/quote.js", body, [text, quote]) == before


# -- sources ---


def citation(document: str, quote: str, **more: object) -> dict[str, object]:
    return {"document": document, "title": document.title(), "quote": quote, **more}


async def test_citations_are_grouped_by_article_and_version(modules: Page) -> None:
    """Numbered in the order of the answer, each quote once; a title is never empty."""
    cited = [
        citation("returns", "A.", rev=2),
        citation("refunds", "B.", title=""),
        citation("returns", "C.", rev=2),
        citation("returns", "A.", rev=2),
        citation("returns", "D.", rev=1),
    ]
    body = "return m.groupSources(x).map((s) => [s.number, s.title, s.document, s.rev, m.quotesOf(s)]);"
    assert await run_module(modules, "shared/sources.js", body, cited) == [
        [1, "Returns", "returns", 2, ["A.", "C."]],
        [2, "refunds", "refunds", 0, ["B."]],
        [3, "Returns", "returns", 1, ["D."]],
    ]


REFERENCES = """
    const { groupSources } = await import('/shared/sources.js');
    const { renderMarkdown } = await import('/shared/markdown.js');
    const root = document.createElement('div');
    renderMarkdown(root, x[0]);
    const before = root.textContent;
    m.addReferences(root, groupSources(x[1]), ({ number }) => {
        const node = document.createElement('sup');
        node.dataset.number = number;
        return node;
    });
    const unchanged = root.textContent === before;
    root.querySelectorAll('[aria-hidden]').forEach((node) => node.remove());
    root.querySelectorAll('sup').forEach((node) => node.replaceWith(`{${node.dataset.number}}`));
    return [root.innerHTML.replaceAll(' dir="auto"', ''), unchanged];
"""


@pytest.mark.parametrize(
    ("answer", "cited", "shown"),
    [
        (
            "Send it back. It is free. Refunds take 5 days.",
            [
                citation("returns", "Send it **back**."),
                citation("returns", "It is [free](/x)."),
                citation("refunds", "Refunds take 5 days."),
            ],
            "<p>Send it back.{1} It is free.{1} Refunds take 5 days.{2}</p>",
        ),
        (
            "**Yes.**\n\n- Send it back\n- Wait",
            [citation("a", "Wait"), citation("b", "Send it back"), citation("c", "Yes.")],
            "<p><strong>Yes.</strong>{3}</p><ul><li>Send it back{2}</li><li>Wait{1}</li></ul>",
        ),
        ("Both say so.", [citation("a", "Both say so."), citation("b", "both say so")], "<p>Both say so.{1}{2}</p>"),
        ("In other words.", [citation("a", "Not in the text.")], "<p>In other words.</p>"),
        (
            "It takes 5 days [3]. Send it back. [1][3] Both [1, 3]. Nobody says this [1]. See `a[3]`.",
            [
                citation("refunds", "Five days.", statement="It takes 5 days"),
                citation("returns", "By post.", statement="Send it back."),
                citation("refunds", "At once.", statement="Send it back."),
                citation("refunds", "Five days.", statement="Send it back."),
                citation("returns", "By post.", statement="Both"),
                citation("refunds", "Gone.", statement="Not in the text"),
            ],
            "<p>It takes 5 days.{1} Send it back.{1}{2} Both.{2} Nobody says this. See <code>a[3]</code>.</p>",
        ),
        ("Row [3] of the form.", [citation("a", "Row")], "<p>Row{1} [3] of the form.</p>"),
    ],
)
async def test_number_of_a_source_stands_behind_the_statement_that_it_supports(
    modules: Page, answer: str, cited: list[dict[str, object]], shown: str
) -> None:
    """Behind its quote, or instead of a model's marks; the text that is copied stays the same."""
    assert await run_module(modules, "shared/references.js", REFERENCES, [answer, cited]) == [shown, True]


# -- names, times, delays ---


async def test_names_and_times_are_readable(modules: Page) -> None:
    """Texts for customers and operators."""
    names = "return [m.specialtyName('tech_support'), m.specialtyName('triage'), m.inSentence('person')];"
    assert await run_module(modules, "shared/names.js", names) == ["Tech support", "Front desk", "a person"]
    times = "return [m.span(45), m.span(4800), m.dueIn(100, 40), m.dueIn(40, 160)];"
    assert await run_module(modules, "shared/times.js", times) == [
        "45 s",
        "1 h 20 min",
        "due in 1 min",
        "2 min overdue",
    ]


async def test_retries_are_delayed_exponentially_with_jitter(modules: Page) -> None:
    """Doubling, capped, and cut by up to half."""
    body = "return [0, 1, 2, 20].map((n) => [m.retryDelay(n, () => 0), m.retryDelay(n, () => 1)]);"
    delays = await run_module(modules, "chat/connection.js", body)
    shortest = [low for low, _ in delays]
    assert shortest == sorted(shortest)
    assert all(high == pytest.approx(2 * low, abs=1) for low, high in delays)
    assert delays[2][1] == 4 * delays[0][1]


# -- imports ---


@pytest.mark.parametrize(
    ("page", "entry"), [("chat/index.html", "chat/main.js"), ("console/console.html", "console/console.js")]
)
async def test_page_preloads_exactly_the_modules_that_it_imports(page: str, entry: str) -> None:
    """A module that is missing in the list costs a round trip per level of imports."""
    preloaded = re.findall(r'rel="modulepreload" href="assets/([^"]+)"', (PAGE / page).read_text())
    imported: set[str] = set()
    pending = [PAGE / entry]
    while pending:
        module = pending.pop()
        for path in re.findall(r"^(?:import|export|\}) .*?from '([^']+)';", module.read_text(), flags=re.MULTILINE):
            target = (module.parent / path).resolve()
            if target.relative_to(PAGE).as_posix() not in imported:
                imported.add(target.relative_to(PAGE).as_posix())
                pending.append(target)
    assert sorted(preloaded) == sorted(imported)


async def test_every_module_is_type_checked() -> None:
    """`// @ts-check` is the first line."""
    modules = sorted(PAGE.rglob("*.js"))
    assert modules
    assert not [module.name for module in modules if not module.read_text().startswith("// @ts-check\n")]
