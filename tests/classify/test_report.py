import os
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image
from rich.table import Table

from modicum.adaptive.curve import worth_at
from modicum.classify.comparison import Compared, Comparison
from modicum.classify.report import comparison_report, evaluation_report, matched_costs
from modicum.reporting.page import write_page
from modicum.reporting.quantities import format_percent
from modicum.storage import RunFolder
from modicum.storage.files import append_jsonl

VOID = {"meta", "link", "img", "br"}
FACTS = {"backbone": "SmallResNet"}
EVIL = "<script>alert('x')</script> & \"cats\" $\\frac$"


class Reader(HTMLParser):
    """Collects what the tests ask about, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids, self.text, self.open = [], [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def read_page(tmp_path_factory):
    def write_and_read(evaluation, *, facts=FACTS, metrics_rows=(), **parts):
        given = {"recipe_text": "seed: 0\n", "command": "modicum train drnet", "versions": {"torch": "2.15.0"}} | parts
        run = RunFolder.create(tmp_path_factory.mktemp("page") / "first", system="drnet", **given)
        for row in metrics_rows:
            append_jsonl(run.metrics, row)
        write_page(run, evaluation_report(evaluation), facts)
        reader = Reader()
        reader.html = run.report.read_text(encoding="utf-8")
        reader.feed(reader.html)
        reader.close()
        assert reader.open == []
        return reader

    return write_and_read


@pytest.fixture(scope="module")
def full(read_page, evaluation, metrics_rows):
    return read_page(evaluation, metrics_rows=metrics_rows)


@pytest.fixture(scope="module")
def unmeasured(evaluation):
    """An evaluation with nothing but what it must have."""
    curve = replace(evaluation.curve, routed=(), random=(), static=(), oracle=None, plain=())
    calibrated = replace(evaluation.calibrated, shares=None)
    return replace(evaluation, curve=curve, calibrated=calibrated, efficiency=(), cheapest=(), most_expensive=())


def test_a_full_report_shows_every_part(full, evaluation):
    for heading in ("Accuracy against cost", "Where the effort goes", "What the clock says", "Data", "Training"):
        assert heading in full.text
    for detail in ("98.1 %", "5f0c2a9be1d34877", "seed: 0", "modicum train drnet", "2.15.0", "SmallResNet", "1,078"):
        assert detail in full.text
    assert full.tags.count("svg") == 2 * 4  # curve, routes, efficiency and learning, each wide and narrow
    assert full.tags.count("img") == len(evaluation.cheapest) + len(evaluation.most_expensive)


def test_nothing_is_loaded_from_elsewhere(full):
    assert full.links
    assert all(link.startswith(("data:", "#")) for link in full.links)
    assert not {"script", "iframe", "object", "embed"} & set(full.tags)
    assert "http:" not in full.html
    assert "https:" not in full.html


def test_references_within_the_page_are_unique_and_resolve(full):
    assert len(full.ids) == len(set(full.ids))
    assert {link[1:] for link in full.links if link.startswith("#")} <= set(full.ids)


def test_users_words_are_escaped_everywhere(read_page, unmeasured, evaluation):
    example = replace(evaluation.cheapest[0], name=EVIL, route=EVIL, label=EVIL, predicted=EVIL)
    odd = replace(
        unmeasured,
        system=EVIL,
        data=EVIL,
        classes=(EVIL, "b"),
        num_images={EVIL: 3},
        cheapest=(example,),
        calibrated=replace(evaluation.calibrated, shares={EVIL: 1.0}),
        curve=replace(unmeasured.curve, plain=(replace(evaluation.curve.plain[0], name=EVIL),)),
        efficiency=(replace(evaluation.efficiency[0], device=EVIL),),
    )
    rows = [{"stage": EVIL, "step": 1, f"{EVIL}/loss": 1.0}]
    words = {EVIL: EVIL}
    page = read_page(odd, facts=words, versions=words, command=EVIL, recipe_text=EVIL, metrics_rows=rows)
    assert "script" not in page.tags
    assert page.text.count(EVIL) > 12


def test_page_with_names_of_any_bytes_is_written_and_moves_nothing(read_page, unmeasured, evaluation):
    strange = os.fsdecode(b"caf\xe9") + "\x1b[2J\u202e"
    example = replace(evaluation.cheapest[0], name=strange, label=strange, predicted=strange)
    shown = replace(unmeasured, data=strange, classes=(strange,), cheapest=(example,))
    page = read_page(shown, facts={strange: strange}, command=strange)
    assert r"caf\udce9\x1b[2J\u202e" in page.text
    assert not any(sign in page.html for sign in ("\x1b", "\u202e"))


def test_what_was_not_measured_is_left_out(read_page, unmeasured):
    page = read_page(unmeasured, facts={}, versions={})
    for heading in ("Where the effort goes", "What the clock says", "oracle", "points of the sweep", "andom"):
        assert heading not in page.text
    assert page.tags.count("svg") == 2
    assert "img" not in page.tags


def test_each_detail_is_a_section_with_its_table_note_and_examples(read_page, unmeasured, detail):
    other = replace(detail, title="Thresholds", examples=())
    page = read_page(replace(unmeasured, details=(detail, other)))
    for text in (detail.title, other.title, detail.note, *detail.columns, *detail.rows[1], "4 of 9 blocks"):
        assert text in page.text
    assert page.tags.count("img") == 1
    assert page.text.count("✗ wrong: 8") == 1


def test_detail_without_rows_has_no_table(read_page, unmeasured, detail):
    with_table, without = (
        read_page(replace(unmeasured, details=(shown,))).tags.count("table")
        for shown in (detail, replace(detail, rows=()))
    )
    assert with_table == without + 1


def test_words_of_a_detail_are_escaped(read_page, unmeasured, detail):
    odd = replace(detail, title=EVIL, note=EVIL, columns=(EVIL, "b"), rows=((EVIL, EVIL),), examples=())
    page = read_page(replace(unmeasured, details=(odd,)))
    assert "script" not in page.tags
    assert page.text.count(EVIL) == 5


def test_wrong_answers_are_marked_in_words(read_page, unmeasured, evaluation):
    page = read_page(replace(unmeasured, most_expensive=evaluation.most_expensive[-2:]))
    assert page.text.count("✗ wrong: ") == 2
    assert "✓ correct" not in page.text


def test_large_images_become_small_jpegs(read_page, unmeasured, evaluation):
    image = Image.effect_noise((900, 600), 80)
    page = read_page(replace(unmeasured, cheapest=(replace(evaluation.cheapest[0], image=image),)))
    (link,) = [link for link in page.links if link.startswith("data:image")]
    assert link.startswith("data:image/jpeg;base64,")
    assert len(link) < 40_000


def test_equal_results_give_equal_files(read_page, unmeasured):
    assert read_page(unmeasured).html == read_page(unmeasured).html


def rows_of(report, title):
    (found,) = [section.table.rows for section in report.sections if section.title.startswith(title)]
    return [row.cells for row in found]


def test_calibrated_row_is_the_reports_own(evaluation):
    (row,) = [row for row in evaluation_report(evaluation).sections[0].table.rows if row.is_ours]
    assert row.cells == ("routed, calibrated", "1.91", "42 %", "98.1 %", "97.0 to 99.3", "")


def test_missing_baselines_have_no_rows(evaluation):
    bare = replace(evaluation, curve=replace(evaluation.curve, plain=(), static=(), random=(), oracle=None))
    assert len(evaluation_report(bare).sections[0].table.rows) == 1


def test_clock_says_which_share_of_the_saving_it_confirms(evaluation):
    nothing_promised = replace(evaluation.efficiency[0], saved_in_theory=0.0)
    timed = replace(evaluation, efficiency=(*evaluation.efficiency, nothing_promised))
    ratios = [cells[-1] for cells in rows_of(evaluation_report(timed), "What the clock says")]
    assert ratios == ["0.77", "0.88", "1.03", "–"]


def test_terminal_shows_tables_of_details_but_no_sweep(evaluation, detail):
    parts = replace(evaluation, details=(detail,)).render()
    titles = [part.title for part in parts if isinstance(part, Table)]
    assert titles == ["Accuracy against cost", "Blocks kept", "What the clock says"]


def test_matched_costs_span_what_the_networks_reach_together(evaluation):
    costs = [point.cost for point in evaluation.curve.routed]
    matched = matched_costs([evaluation])
    assert (matched[0], matched[-1]) == (min(costs), max(costs))


def test_comparison_reads_accuracies_at_the_same_costs(evaluation):
    ((name, *cells),) = rows_of(comparison_report(Comparison((Compared("a", evaluation),))), "Accuracy at the same")
    accuracies = [format_percent(worth_at(evaluation.curve.routed, cost)) for cost in matched_costs([evaluation])]
    assert (name, cells) == ("a", [*accuracies, "98.1 % at 42 % of plain"])


def test_comparison_says_when_data_differ(evaluation):
    other = replace(evaluation, data="other photos")
    same, different = (
        comparison_report(Comparison((Compared("a", evaluation), Compared("b", each)))).sections[0].table.note
        for each in (evaluation, other)
    )
    assert "Tested on different images" in different
    assert same == ""


def test_units_are_not_mixed(evaluation):
    timed = replace(evaluation, curve=replace(evaluation.curve, unit="ms"))
    with pytest.raises(ValueError, match=r"in one unit of cost, got \['MAC', 'ms'\]"):
        comparison_report(Comparison((Compared("a", evaluation), Compared("b", timed))))


def test_static_family_gives_its_best_member_within_the_cost_and_nothing_in_between(evaluation):
    points = evaluation.curve.routed
    cheap, dear = replace(points[-1], name="small", worth=0.8), replace(points[0], name="large", worth=0.9)
    curve = replace(evaluation.curve, static=(dear, cheap), routed=(dear, cheap))
    family = Compared("f", replace(evaluation, curve=curve), is_static=True)
    ((_, *cells),) = rows_of(comparison_report(Comparison((family,))), "Accuracy at the same")
    assert cells[:-1] == ["80.0 %"] * 4 + ["90.0 %"]


def test_verdict_says_no_where_a_static_network_is_better(evaluation):
    wins = Compared("wins", evaluation)
    better = replace(evaluation.curve.plain[0], name="always small", cost=1.0, worth=0.995, low=0.99, high=1.0)
    family = replace(evaluation, curve=replace(evaluation.curve, static=(better,)))
    (alone,), (beaten,) = (
        rows_of(comparison_report(Comparison(runs)), "Against the best static network")
        for runs in ((wins,), (wins, Compared("family", family, is_static=True)))
    )
    assert alone[3] == "none is as cheap"
    assert beaten[-2:] == ("NO, -1.4 points", "overlap")


def test_verdict_in_milliseconds_says_where_they_come_from(evaluation):
    timed = replace(evaluation, curve_ms=replace(evaluation.curve, unit="ms"))
    _, in_macs, in_ms = comparison_report(Comparison((Compared("a", timed),))).sections
    assert "its own evaluation" in in_ms.table.note
    assert "its own evaluation" not in in_macs.table.note


def test_rivals_are_tabulated_in_every_unit_with_the_strongest_named(contested):
    rows = rows_of(evaluation_report(contested), "Against simple rivals of equal cost")
    assert [row[0] for row in rows] == [
        "always 16 px",
        "mix of 16 px and 32 px",
        "cascade of 16 px, 32 px, the strongest",
        "always 16 px",
        "mix of 16 px and 32 px, the strongest",
    ]
    assert rows[2][2:] == ("97.9 %", "+0.2", "-0.6 to +1.0")
    assert rows[4][1] == "0.250 ms"


def test_networks_without_times_are_named(contested):
    (section,) = [each for each in evaluation_report(contested).sections if each.title.startswith("Against simple")]
    assert "Rivals of equal time leave out what was not timed: half a network." in section.table.note


def test_page_draws_the_cascade_with_a_label(read_page, contested):
    page = read_page(contested)
    assert "confidence cascade" in page.text


def test_comparison_tells_each_runs_strongest_rival(contested):
    report = comparison_report(Comparison((Compared("a", contested),)))
    rows = rows_of(report, "Against the strongest simple rival")
    assert rows[0][3:] == ("cascade of 16 px, 32 px", "97.9 %", "+0.2", "-0.6 to +1.0")
    assert rows[1][:2] == ("a", "0.250 ms")
    assert report.to_json()["figures"]["a"]["standings"][0]["rivals"][2]["accuracy"] == 0.979


def test_percentiles_are_shown_where_images_were_timed_one_by_one(evaluation):
    first, *others = evaluation.efficiency
    timed = replace(first, plain_p99_ms=1.5, routed_p99_ms=1.75, num_samples=64)
    (section,) = [
        each
        for each in evaluation_report(replace(evaluation, efficiency=(timed, *others))).sections
        if each.title == "What the clock says"
    ]
    table = section.blocks[1]
    places = [table.columns.index(name) for name in ("plain p99", "routed p99")]
    assert [[row.cells[place] for place in places] for row in table.rows] == [
        ["1.500", "1.750"],
        ["–", "–"],
        ["–", "–"],
    ]
    assert "99th percentile over 64 images" in table.note
