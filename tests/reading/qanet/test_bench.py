import pytest

from modicum.reading.qanet.bench import bucketed_batches, random_batch


@pytest.fixture(scope="module")
def rows(quick_rows):
    return quick_rows("qanet")


def test_each_figure_names_device_batch_and_length(rows):
    compared = [row for row in rows if "buckets" not in row.name]

    assert all("batch 2, 12/5 words, 1 thread" in row.name for row in compared)


def test_each_comparison_says_which_is_faster_there(rows):
    comparisons = [row for row in rows if row.unit == "x BiDAF"]

    assert [row.name.partition(",")[2].partition("(")[0].split(",")[0].strip() for row in comparisons] == [
        "inference",
        "training step",
    ]
    assert all(("(QANet is faster)" in row.name) == (row.value > 1) for row in comparisons)


def test_names_tell_rows_of_a_unit_apart(rows):
    names = [(row.name, row.unit) for row in rows]

    assert len(set(names)) == len(names)


def test_figures_are_positive(rows):
    assert all(row.value > 0 for row in rows)


def test_a_random_batch_has_its_lengths_and_repeats_words():
    inputs = random_batch([(400, 50), (30, 7)])

    assert (inputs.passage != 0).sum(1).tolist() == [400, 30]
    assert (inputs.question != 0).sum(1).tolist() == [50, 7]
    assert len(inputs.words) < 350


def test_the_match_feature_marks_words_of_the_question():
    inputs = random_batch([(40, 10), (30, 7)])

    for passage, question, match in zip(inputs.passage, inputs.question, inputs.match, strict=True):
        asked = set(question.tolist()) - {0}
        assert match.tolist() == [float(word in asked) for word in passage.tolist()]


def test_batches_of_like_lengths_cover_the_lengths_of_squad():
    lengths = [batch.passage.shape[1] for batch in bucketed_batches(8)]
    padding = [float((batch.passage == 0).float().mean()) for batch in bucketed_batches(8)]

    assert lengths == sorted(lengths)
    assert 130 < sum(lengths) / len(lengths) < 160
    assert max(padding) < 0.1
