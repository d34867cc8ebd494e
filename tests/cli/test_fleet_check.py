"""Findings of a fleet folder: each kind is found at its file, key and line, and nothing else is reported."""
# ruff: noqa: E501 - one case per line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from trunkline_chassis.fleet_folder import FleetError, load_fleet
from trunkline_cli.fleet.core.check import check_folder
from trunkline_cli.fleet.core.findings import is_clean
from trunkline_cli.fleet.core.folder import FleetFolder, FolderFile
from trunkline_cli.fleet.core.lines import line_of
from trunkline_cli.fleet.folder_reader import read_fleet_folder

from tests.cli.fleet_files import (
    ARTICLE,
    BOATS,
    COMPANY,
    FIND,
    FIRST_EXAMPLE_LINE,
    PRICES,
    RECEPTION,
    SENIOR,
    TOOL,
    agent,
    changed,
    clean_files,
    findings_of,
    line_with,
    write,
)

ROOT = Path(__file__).parents[2]
MCP = 'name = "find-booking"\ndescription = "d"\nkind = "mcp"\ncommand = ["boats-mcp"]\n'
RULE = '[[escalation.rules]]\nname = "fire"\nurgency = "high"\n'
CASES = 'examples = [\n"smoke",\n"on fire",\n"case 2",\n"case 3",\n"case 4",\n]\n'
READER = 'name = "crm"\nurl = "https://crm.example/{c}"\nbind = { c = "customer.sub" }\nfields = { plan = { type = "text" } }\n'
CRM = "context/crm.toml"
WHEN = '[[escalation.rules]]\nname = "vip"\nurgency = "high"\nphrases = ["help"]\nwhen = { "facts.age" = 3 }\n'
WRITES = 'method = "PUT"\nwrites = true\nunbound = true'


@pytest.mark.parametrize("folder", ["fleet", "examples/minimal-fleet"])
def test_fleets_of_the_repository_are_clean(folder: str) -> None:
    """A new fleet often begins as a copy of one of them."""
    assert is_clean(check_folder(read_fleet_folder(ROOT / folder)))


def test_complete_fleet_has_no_finding() -> None:
    """Every other test changes one file of this fleet."""
    assert findings_of(clean_files()) == []


@pytest.mark.parametrize(
    ("files", "file", "part", "key", "rule"),
    [
        (changed("fleet.toml", 'greeting = "Hello."\n', ""), "fleet.toml", "[company]", "company.greeting", "invalid-key"),
        (clean_files() | {"fleet.toml": COMPANY + "[escalation]\nfailed_turns = 0\n"}, "fleet.toml", "failed_turns", "escalation.failed_turns", "invalid-key"),
        (changed(BOATS, 'title = "', "title = "), BOATS, "title", "", "invalid-toml"),
        (changed(BOATS, "tone = ", "tona = "), BOATS, "tona", "tona", "invalid-key"),
        (changed(BOATS, 'name = "boats"', 'name = "ships"'), BOATS, 'name = "ships"', "name", "misplaced"),
        (changed(BOATS, 'specialty = "rental"', 'specialty = "hire"'), BOATS, "specialty", "specialty", "misplaced"),
        (changed(BOATS, '"triage"', '"astrology"'), BOATS, "hand_off_to", "hand_off_to", "inconsistent"),
        (changed(BOATS, "tools = [", 'consult = ["astrology"]\ntools = ['), BOATS, "consult", "consult", "inconsistent"),
        (changed(BOATS, "tools = [", 'consult = ["rental"]\ntools = ['), BOATS, "consult", "consult", "inconsistent"),
        (changed(BOATS, '"find-booking"', '"find-booking", "pay"'), BOATS, "tools", "tools", "inconsistent"),
        (changed(FIND, "https://", "ftp://"), FIND, "url", "url", "inconsistent"),
        (changed(FIND, '"GET"', '"DELETE"'), FIND, "method", "method", "inconsistent"),
        (clean_files() | {CRM: READER.replace("url", "uri")}, CRM, "uri", "uri", "invalid-key"),
        (clean_files() | {CRM: READER.replace('"text"', '"texts"')}, CRM, "fields", "fields.plan.type", "invalid-key"),
        (clean_files() | {CRM: READER.replace("customer.sub", "facts.plan")}, CRM, "bind", "bind.c", "invalid-key"),
        (clean_files() | {CRM: READER.replace("customer.sub", "customer.tier")}, CRM, "bind", "bind", "inconsistent"),
        (clean_files() | {CRM: READER.replace('"crm"', '"shop"')}, CRM, "name", "name", "misplaced"),
        (clean_files() | {"fleet.toml": COMPANY + WHEN}, "fleet.toml", "when", "escalation.rules[0].when", "inconsistent"),
        (clean_files() | {"fleet.toml": COMPANY + '[customers.topics.boats]\ntier = "x"\n'}, "fleet.toml", "[customers.topics", "customers.topics.boats", "inconsistent"),
        (clean_files() | {"fleet.toml": COMPANY + '[escalation]\ntiers = { plus = "big" }\n'}, "fleet.toml", "tiers", "escalation.tiers.plus", "invalid-key"),
        (changed(PRICES, "updated", "Visibility: internal\nupdated"), PRICES, "", "", "invalid-article"),
        (changed(PRICES, "id: prices", "id: price list"), PRICES, "id:", "id", "invalid-article"),
        (changed(PRICES, "[prices]", "[prices, boat hire]"), PRICES, "topics", "topics", "invalid-article"),
        (changed(PRICES, "updated", "visibility: secret\nupdated"), PRICES, "visibility", "visibility", "invalid-article"),
    ],
)  # fmt: skip
def test_refusal_is_an_error(files: dict[str, str], file: str, part: str, key: str, rule: str) -> None:
    """Loading refuses the first of these; a missing key is reported at its table."""
    found = [finding for finding in findings_of(files) if "missing" not in finding.message or key == finding.key]
    (finding,) = found
    assert (finding.severity, finding.file, finding.key, finding.rule) == ("error", file, key, rule)
    assert finding.line == (line_with(files[file], part) if part else 0)


@pytest.mark.parametrize(
    ("files", "file", "part", "key", "rule"),
    [
        (changed(BOATS, 'topics = ["prices"', 'topics = ["prices", "boats"'), BOATS, "topics", "knowledge.topics", "topic-without-article"),
        (changed(PRICES, "[prices]", "[prices, boats]"), PRICES, "topics", "topics", "topic-without-agent"),
        (changed(PRICES, "topics: [prices]\n", "topics: []\n") | {"knowledge/prices/b.md": ARTICLE.format(name="b", topic="prices")}, PRICES, "topics", "topics", "article-without-topic"),
        (changed(PRICES, "id: prices", "id: price-list"), PRICES, "id:", "id", "misplaced-article"),
        (changed(PRICES, "[prices]", "[opening, prices]"), PRICES, "topics", "topics", "misplaced-article"),
        (clean_files() | {"knowledge/a.md": ARTICLE.format(name="a", topic="prices")}, "knowledge/a.md", "topics", "topics", "misplaced-article"),
        (changed(PRICES, "updated", "audience: internal\nupdated"), PRICES, "audience", "audience", "unknown-field"),
        (changed(PRICES, "updated", "specialties: [sales]\nupdated"), PRICES, "specialties", "specialties", "unknown-specialty"),
        (changed(PRICES, "updated", "valid_from: 2026-12-02\nvalid_until: 2026-12-01\nupdated"), PRICES, "valid_until", "valid_until", "never-valid"),
        (changed(PRICES, "kayak", "kayak\ufffd"), PRICES, "", "", "damaged-text"),
        (changed(BOATS, '"boats question 3"', '"boats question 3", "Boats, question 2!"'), BOATS, '"Boats, question 2!"', "examples", "repeated-example"),
        (changed(RECEPTION, '"reception question 5"', '"BOATS question 5"'), RECEPTION, '"BOATS question 5"', "examples", "repeated-example"),
        (changed(RECEPTION, '  "reception question 4",\n', ""), RECEPTION, "examples", "examples", "few-examples"),
        (changed(BOATS, '"triage"', '"triage", "rental"'), BOATS, "hand_off_to", "hand_off_to", "handoff-to-itself"),
        (changed(BOATS, '"find-booking"', '"find-booking", "consult"'), BOATS, "tools", "tools", "tool-without-target"),
        (changed(SENIOR, "tools = [", 'tools = ["handoff"'), SENIOR, "tools", "tools", "tool-without-target"),
        (changed(BOATS, '"find-booking"', ""), FIND, "name", "name", "unused-tool"),
        (changed(FIND, "{booking}", "{booking}/{boat}"), FIND, "url", "url", "undeclared-placeholder"),
        (changed(FIND, 'required = ["booking"]', "required = []"), FIND, "url", "url", "optional-placeholder"),
        (changed(FIND, '["booking"]', '["booking", "boat"]'), FIND, "required", "parameters.required", "undeclared-parameter"),
        (changed(FIND, 'type = "object"', 'type = "thing"'), FIND, "[parameters]", "parameters", "invalid-schema"),
        (clean_files() | {FIND: MCP + "parameters = { required = ['x'] }"}, FIND, "parameters", "parameters", "unused-key"),
        (clean_files() | {FIND: MCP + 'method = "GET"'}, FIND, "method", "method", "unused-key"),
        (clean_files() | {FIND: MCP + "idempotent = true"}, FIND, "idempotent", "idempotent", "unused-key"),
        (changed(FIND, "url", "idempotent = true\nurl"), FIND, "idempotent", "idempotent", "unused-key"),
        (changed(FIND, "url", 'allow = ["x"]\nurl'), FIND, "allow", "allow", "unused-key"),
        (clean_files() | {"fleet.toml": COMPANY + 2 * '[[escalation.rules]]\nname = "fire"\nphrases = ["x"]\nurgency = "high"\n'}, "fleet.toml", "", "escalation.rules[1].name", "repeated-rule"),
        (clean_files() | {"fleet.toml": COMPANY + RULE}, "fleet.toml", "[[escalation.rules]]", "escalation.rules[0]", "rule-without-trigger"),
        (clean_files() | {"fleet.toml": COMPANY + RULE + 'examples = ["fire!", "smoke!"]\n'}, "fleet.toml", "fire!", "escalation.rules[0].examples", "few-examples"),
        (clean_files() | {"fleet.toml": f'{COMPANY}[escalation]\nnear_misses = ["On fire"]\n{RULE}{CASES}'}, "fleet.toml", '"on fire"', "escalation.rules[0].examples", "contradictory-example"),
        (changed(BOATS, "boats question 3", "Smoke?") | {"fleet.toml": COMPANY + RULE + CASES}, "fleet.toml", '"smoke"', "escalation.rules[0].examples", "contradictory-example"),
        (clean_files() | {"fleet.toml": COMPANY + RULE + CASES + RULE.replace("fire", "law") + CASES.replace("case", "claim").replace("on fire", "SMOKE!").replace("smoke", "court")}, "fleet.toml", '"SMOKE!"', "escalation.rules[1].examples", "contradictory-example"),
        (clean_files() | {"agents/rental/notes.md": ""}, "agents/rental/notes.md", "", "", "ignored-file"),
        (clean_files() | {"agents/kayaks.toml": ""}, "agents/kayaks.toml", "", "", "ignored-file"),
        (clean_files() | {"agents/rental/old/kayaks.toml": ""}, "agents/rental/old/kayaks.toml", "", "", "ignored-file"),
        (clean_files() | {"tools/pay.yaml": ""}, "tools/pay.yaml", "", "", "ignored-file"),
        (clean_files() | {"tools/shop/pay.toml": ""}, "tools/shop/pay.toml", "", "", "ignored-file"),
        (clean_files() | {"knowledge/prices/prices.docx": ""}, "knowledge/prices/prices.docx", "", "", "ignored-file"),
        (clean_files() | {"settings.yaml": ""}, "settings.yaml", "", "", "ignored-file"),
    ],
)  # fmt: skip
def test_silent_defect_is_a_warning(files: dict[str, str], file: str, part: str, key: str, rule: str) -> None:
    """Each is the only finding, at the line of its key."""
    (finding,) = findings_of(files)
    assert (finding.severity, finding.file, finding.key, finding.rule) == ("warning", file, key, rule)
    assert not part or finding.line == line_with(files[file], part)


def test_second_rule_of_a_name_is_reported_at_its_own_line() -> None:
    """Tables of an array have the same header."""
    rule = '[[escalation.rules]]\nname = "fire"\nphrases = ["x"]\nurgency = "high"\n'
    text = COMPANY + rule + rule
    (finding,) = findings_of(clean_files() | {"fleet.toml": text})
    assert text.splitlines()[finding.line - 1] == 'name = "fire"'
    assert finding.line > line_with(text, 'name = "fire"')


def test_fleet_without_triage_is_an_error() -> None:
    """No file is at fault; targets that name triage are unknown then."""
    files = {path: text for path, text in clean_files().items() if path != RECEPTION}
    found = {(finding.severity, finding.file, finding.key) for finding in findings_of(files)}
    assert ("error", "agents", "specialty") in found
    assert ("error", BOATS, "hand_off_to") in found


def test_fleet_without_senior_agents_has_a_note_and_is_clean() -> None:
    """Requests for a person go to people then."""
    findings = findings_of({path: text for path, text in clean_files().items() if path != SENIOR})
    assert [(finding.severity, finding.rule) for finding in findings] == [("note", "no-senior-agents")]
    assert is_clean(findings)


def test_empty_escalation_table_is_valid() -> None:
    """Every key of it has a default."""
    assert findings_of(clean_files() | {"fleet.toml": COMPANY + "[escalation]\n"}) == []


def test_all_defects_of_all_files_are_reported() -> None:
    """Loading stops at the first; five files have eight here, two of them in one list."""
    files = clean_files() | {
        "fleet.toml": COMPANY.replace('clarify = "Is it about a price?"', 'clarify = ""\nmotto = "x"'),
        BOATS: agent("boats", "rental", topic="Prices", targets='"Triage!", "sales"'),
        SENIOR: "name = ",
        FIND: TOOL.replace('method = "GET"', 'method = "SEND"\ntimeout_s = 0'),
    }
    errors = {(finding.file, finding.key) for finding in findings_of(files) if finding.severity == "error"}
    assert errors == {
        ("fleet.toml", "company.clarify"),
        ("fleet.toml", "company.motto"),
        (BOATS, "knowledge.topics[0]"),
        (BOATS, "hand_off_to[0]"),
        (BOATS, "hand_off_to"),
        (SENIOR, ""),
        (FIND, "method"),
        (FIND, "timeout_s"),
    }


def test_unreadable_agent_has_no_consequences_elsewhere() -> None:
    """Its specialty still exists, and its topics and tools may be those that no other agent names."""
    files = clean_files() | {BOATS: "name = "}
    assert [(finding.file, finding.rule) for finding in findings_of(files)] == [(BOATS, "invalid-toml")]


def test_misplaced_file_has_no_consequences_elsewhere() -> None:
    """Others name the specialty and the tool that exist when the file is moved or renamed."""
    files = clean_files()
    moved = files | {"agents/desk/reception.toml": files[RECEPTION], "tools/find.toml": files[FIND]}
    findings = findings_of({path: text for path, text in moved.items() if path not in {RECEPTION, FIND}})
    assert [(finding.file, finding.key, finding.rule) for finding in findings] == [
        ("agents/desk/reception.toml", "specialty", "misplaced"),
        ("tools/find.toml", "name", "misplaced"),
    ]
    renamed = changed(FIND, 'name = "find-booking"', 'name = "find"')
    assert [(finding.file, finding.rule) for finding in findings_of(renamed)] == [(FIND, "misplaced")]


def test_key_below_the_wrong_table_header_has_a_hint() -> None:
    """TOML adds lines at the end of a file to its last table."""
    (finding,) = findings_of(clean_files() | {SENIOR: clean_files()[SENIOR] + "consult = []\n"})
    assert (finding.key, finding.message) == ("knowledge.consult", "unknown key, move it above [knowledge]")


def test_unreadable_article_counts_for_the_topic_of_its_folder() -> None:
    """The topic has an article that only has to be repaired."""
    files = clean_files() | {PRICES: "---\nid: [\n---\ntext"}
    assert [(finding.file, finding.rule) for finding in findings_of(files)] == [(PRICES, "invalid-article")]


def test_missing_fleet_file_is_an_error() -> None:
    """The rest of the folder is checked."""
    files = {path: text for path, text in clean_files().items() if path != "fleet.toml"} | {"tools/x.md": ""}
    found = [(finding.severity, finding.file, finding.rule) for finding in findings_of(files)]
    assert found == [("error", "fleet.toml", "unreadable"), ("warning", "tools/x.md", "ignored-file")]


@pytest.mark.parametrize(
    ("copy", "text", "place"),
    [
        (
            "knowledge/prices/again.md",
            ARTICLE.format(name="prices", topic="prices"),
            "knowledge/prices/again.md, which is kept",
        ),
        (
            "knowledge/prices/more.jsonl",
            '\n{"id": "prices", "title": "t", "content": "c", "topics": ["prices"]}',
            "knowledge/prices/more.jsonl:2, which is kept",
        ),
    ],
)
def test_article_with_the_id_of_another_is_an_error(copy: str, text: str, place: str) -> None:
    """An import keeps the first."""
    errors = [finding for finding in findings_of(clean_files() | {copy: text}) if finding.severity == "error"]
    assert [(error.file, error.key, error.rule) for error in errors] == [(PRICES, "id", "repeated-article")]
    assert place in errors[0].message


def test_problem_of_a_json_line_has_its_line() -> None:
    """The other lines are articles."""
    good = '{"id": "deposit", "title": "t", "content": "c", "topics": ["prices"]}'
    files = clean_files() | {"knowledge/prices/more.jsonl": f"{good}\n{{}}\n"}
    (finding,) = findings_of(files)
    assert (finding.file, finding.line, finding.rule) == ("knowledge/prices/more.jsonl", 2, "invalid-article")


def test_page_without_topics_is_a_note() -> None:
    """HTML and PDF have no field for topics."""
    files = clean_files() | {"knowledge/prices/page.html": "<p>Text.</p>", "knowledge/prices/scan.pdf": ""}
    found = {(finding.severity, finding.file, finding.rule) for finding in findings_of(files)}
    assert found == {
        ("note", "knowledge/prices/page.html", "article-without-topic"),
        ("note", "knowledge/prices/scan.pdf", "article-without-topic"),
    }


def test_file_that_could_not_be_read_is_an_error() -> None:
    """With the reason of the system."""
    files = tuple(
        FolderFile(path, problem="not UTF-8") if path == BOATS else FolderFile(path, text)
        for path, text in sorted(clean_files().items())
    )
    (finding,) = check_folder(FleetFolder(files))
    assert (finding.severity, finding.file, finding.rule, finding.message) == (
        "error",
        BOATS,
        "unreadable",
        "not UTF-8",
    )


def test_unknown_and_empty_folders_are_warnings() -> None:
    """A misspelt folder would hide all its files."""
    findings = findings_of(clean_files(), other_folders=("agent", ".git"), empty_folders=("knowledge/boats",))
    assert [(finding.severity, finding.file, finding.rule) for finding in findings] == [
        ("warning", "agent", "ignored-file"),
        ("warning", "knowledge/boats", "empty-folder"),
    ]
    assert "did you mean agents?" in findings[0].message


def test_documents_and_hidden_files_are_no_findings() -> None:
    """A repository has a README, and a checkout hidden files."""
    assert findings_of(clean_files() | {"README.md": "", "LICENSE": "", ".gitignore": "", "tools/.gitkeep": ""}) == []


def test_bound_placeholder_needs_no_parameter() -> None:
    """It is filled from the claims of the customer."""
    text = TOOL.replace("{booking}", "{customer}/{booking}").replace(
        "[parameters]", '[bind]\ncustomer = "customer.sub"\n\n[parameters]', 1
    )
    assert findings_of(clean_files() | {FIND: text}) == []


def test_hostile_schema_is_judged_but_not_applied() -> None:
    """Applied, this valid schema takes 2**60 steps: each definition refers to the next one twice."""
    definitions = [
        f'd{n} = {{ allOf = [{{ "$ref" = "#/$defs/d{n + 1}" }}, {{ "$ref" = "#/$defs/d{n + 1}" }}] }}'
        for n in range(60)
    ]
    schema = '"$ref" = "#/$defs/d0"\n[parameters."$defs"]\n' + "\n".join(definitions) + "\nd60 = {}\n"
    text = TOOL.replace('type = "object"\n', "", 1).replace("[parameters]\n", "", 1).partition("required")[0]
    findings = findings_of(clean_files() | {FIND: text.replace("/{booking}", "") + "\n[parameters]\n" + schema})
    assert findings == []


@pytest.mark.parametrize("line", ["[" + " " * 100_000, "a" + " " * 100_000 + "b", "[a" + "]" * 50_000])
def test_long_line_is_searched_in_linear_time(line: str) -> None:
    """The location of a finding reads lines that are not TOML too; a pattern that backtracks would take hours."""
    assert line_of(f"name = 1\n{line}", ("name",)) == 1
    (finding,) = findings_of(changed(PRICES, "updated", f"{line}\nupdated"))
    assert (finding.file, finding.rule) == (PRICES, "invalid-article")


def test_first_line_of_repeated_examples_is_named() -> None:
    """The finding stands at the second one."""
    (finding,) = findings_of(changed(BOATS, '"boats question 3"', '"Boats question 0?"'))
    assert f"{BOATS}:{FIRST_EXAMPLE_LINE}" in finding.message
    assert finding.line == FIRST_EXAMPLE_LINE + 3


BREAKS = st.tuples(
    st.sampled_from(["fleet.toml", RECEPTION, BOATS, SENIOR, FIND]),
    st.integers(0, 30),
    st.sampled_from(
        ["", "x = 1", 'name = "boats"', "[knowledge]", 'url = "ftp://x"', "examples = []", "writes = true"]
    ),
)


@given(st.lists(BREAKS, min_size=1, max_size=3))
def test_errors_of_definitions_are_the_refusals_of_loading(
    tmp_path_factory: pytest.TempPathFactory, breaks: list[tuple[str, int, str]]
) -> None:
    """For any replaced lines, the loader refuses a folder if and only if the check has an error in it."""
    files = clean_files()
    for path, number, line in breaks:
        lines = files[path].splitlines()
        lines[number % len(lines)] = line
        files[path] = "\n".join(lines)
    folder = write(tmp_path_factory.mktemp("fleet"), files)
    errors = [finding for finding in findings_of(files) if finding.severity == "error"]
    try:
        load_fleet(folder)
    except FleetError:
        assert errors
    else:
        assert not errors


def test_reader_is_read_and_its_facts_are_known() -> None:
    """A placeholder of a fact that no reader has is a warning at the text that names it."""
    known = clean_files() | {CRM: READER, "fleet.toml": COMPANY.replace("Hello.", "Hello on {facts.plan}.")}
    assert findings_of(known) == []
    (unknown,) = findings_of({name: text for name, text in known.items() if name != CRM})
    assert (unknown.file, unknown.key, unknown.rule) == ("fleet.toml", "company.greeting", "unknown-fact")


def test_uses_of_facts_are_not_judged_while_a_reader_is_defective() -> None:
    """One defect has one finding."""
    files = clean_files() | {CRM: READER.replace("bind", "bound"), "fleet.toml": COMPANY + WHEN}
    assert {finding.file for finding in findings_of(files)} == {CRM}
