import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from modicum.classify.report import write_report

VOID = {"meta", "link", "img", "br"}
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
def read_report(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"

    def write_and_read(evaluation, **parts):
        given = {
            "facts": {"backbone": "SmallResNet"},
            "recipe_text": "seed: 0\n",
            "command": "modicum train drnet",
            "versions": {"torch": "2.15.0"},
            "metrics_rows": [],
        }
        write_report(Path("runs/first"), evaluation, **(given | parts), path=path)
        reader = Reader()
        reader.html = path.read_text(encoding="utf-8")
        reader.feed(reader.html)
        reader.close()
        assert reader.open == []
        return reader

    return write_and_read


@pytest.fixture(scope="module")
def full(read_report, evaluation, metrics_rows):
    return read_report(evaluation, metrics_rows=metrics_rows)


@pytest.fixture(scope="module")
def unmeasured(evaluation):
    """An evaluation with nothing but what it must have."""
    curve = replace(evaluation.curve, routed=(), random=(), static=(), oracle=None, plain=())
    calibrated = replace(evaluation.calibrated, shares=None)
    return replace(evaluation, curve=curve, calibrated=calibrated, efficiency=(), cheapest=(), dearest=())


def test_a_full_report_shows_every_part(full, evaluation):
    for heading in ("Accuracy against cost", "Where the effort goes", "What the clock says", "Data and training"):
        assert heading in full.text
    for detail in ("98.1 %", "5f0c2a9be1d34877", "seed: 0", "modicum train drnet", "2.15.0", "SmallResNet", "1,078"):
        assert detail in full.text
    assert full.tags.count("svg") == 2 * 4  # curve, routes, efficiency and learning, each wide and narrow
    assert full.tags.count("img") == len(evaluation.cheapest) + len(evaluation.dearest)


def test_nothing_is_loaded_from_elsewhere(full):
    assert full.links
    assert all(link.startswith(("data:", "#")) for link in full.links)
    assert not {"script", "iframe", "object", "embed"} & set(full.tags)
    assert "http:" not in full.html
    assert "https:" not in full.html


def test_references_within_the_page_are_unique_and_resolve(full):
    assert len(full.ids) == len(set(full.ids))
    assert {link[1:] for link in full.links if link.startswith("#")} <= set(full.ids)


def test_users_words_are_escaped_everywhere(read_report, unmeasured, evaluation):
    example = replace(evaluation.cheapest[0], name=EVIL, route=EVIL, label=EVIL, predicted=EVIL)
    odd = replace(
        unmeasured,
        system=EVIL,
        data=EVIL,
        classes=(EVIL, "b"),
        num_images={EVIL: 3},
        cheapest=(example,),
        calibrated=replace(evaluation.calibrated, shares={EVIL: 1.0}),
        curve=replace(unmeasured.curve, plain=(replace(evaluation.curve.plain[0], label=EVIL),)),
        efficiency=(replace(evaluation.efficiency[0], device=EVIL),),
    )
    rows = [{"stage": EVIL, "step": 1, f"{EVIL}/loss": 1.0}]
    words = {EVIL: EVIL}
    page = read_report(odd, facts=words, versions=words, command=EVIL, recipe_text=EVIL, metrics_rows=rows)
    assert "script" not in page.tags
    assert page.text.count(EVIL) > 12


def test_page_with_names_of_any_bytes_is_written_and_moves_nothing(read_report, unmeasured, evaluation):
    strange = os.fsdecode(b"caf\xe9") + "\x1b[2J\u202e"
    example = replace(evaluation.cheapest[0], name=strange, label=strange, predicted=strange)
    shown = replace(unmeasured, data=strange, classes=(strange,), cheapest=(example,))
    page = read_report(shown, facts={strange: strange}, recipe_text=strange, command=strange)
    assert r"caf\udce9\x1b[2J\u202e" in page.text
    assert not any(sign in page.html for sign in ("\x1b", "\u202e"))


def test_what_was_not_measured_is_left_out(read_report, unmeasured):
    page = read_report(unmeasured, facts={}, versions={})
    for heading in ("Where the effort goes", "What the clock says", "oracle", "points of the sweep", "andom"):
        assert heading not in page.text
    assert page.tags.count("svg") == 2
    assert "img" not in page.tags


def test_each_detail_is_a_section_with_its_table_note_and_examples(read_report, unmeasured, detail):
    other = replace(detail, title="Thresholds", examples=())
    page = read_report(replace(unmeasured, details=(detail, other)))
    assert page.html.count('<section class="detail">') == 2
    for text in (detail.title, other.title, detail.note, *detail.columns, *detail.rows[1], "4 of 9 blocks"):
        assert text in page.text
    assert page.tags.count("img") == 1
    assert page.text.count("✗ wrong: 8") == 1


def test_detail_without_rows_has_no_table(read_report, unmeasured, detail):
    with_table, without = (
        read_report(replace(unmeasured, details=(shown,))).tags.count("table")
        for shown in (detail, replace(detail, rows=()))
    )
    assert with_table == without + 1


def test_words_of_a_detail_are_escaped(read_report, unmeasured, detail):
    odd = replace(detail, title=EVIL, note=EVIL, columns=(EVIL, "b"), rows=((EVIL, EVIL),), examples=())
    page = read_report(replace(unmeasured, details=(odd,)))
    assert "script" not in page.tags
    assert page.text.count(EVIL) == 5


def test_wrong_answers_are_marked_in_words(read_report, unmeasured, evaluation):
    page = read_report(replace(unmeasured, dearest=evaluation.dearest[-2:]))
    assert page.text.count("✗ wrong: ") == 2
    assert "✓ right" not in page.text


def test_large_images_become_small_jpegs(read_report, unmeasured, evaluation):
    image = Image.effect_noise((900, 600), 80)
    page = read_report(replace(unmeasured, cheapest=(replace(evaluation.cheapest[0], image=image),)))
    (link,) = [link for link in page.links if link.startswith("data:image")]
    assert link.startswith("data:image/jpeg;base64,")
    assert len(link) < 40_000


def test_equal_results_give_equal_files(read_report, unmeasured):
    assert read_report(unmeasured).html == read_report(unmeasured).html
