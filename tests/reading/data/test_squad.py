import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modicum.reading.data.corpus import Answer, Corpus, Origin, Passage, Question
from modicum.reading.data.problems import Problem, ProblemKind, problem_lines
from modicum.reading.data.squad import read_squad, write_squad
from modicum.storage.errors import DataError


def qa(name="q", text="What?", answers=({"text": "blue", "answer_start": 11},), **more):
    return {"id": name, "question": text, "answers": list(answers), **more}


def paragraph(*questions, context="The sky is blue, blue."):
    return {"context": context, "qas": list(questions)}


@pytest.fixture
def write(tmp_path):
    """Function that writes paragraphs as one article and returns the file."""

    def write(*paragraphs, **root):
        path = tmp_path / "squad.json"
        root = {"version": "1.1", "data": [{"title": "Sky", "paragraphs": list(paragraphs)}], **root}
        path.write_text(json.dumps(root))
        return path

    return write


def kinds(loaded):
    return [problem.kind for problem in loaded.problems]


def test_file_is_read(write):
    loaded = read_squad(write(paragraph(qa())))
    question = Question("q", "What?", (Answer("blue", 11),))
    assert loaded == (Corpus((Passage("The sky is blue, blue.", (question,), "Sky"),), "1.1"), ())


texts = st.text(min_size=1).map(lambda text: f"w{text}").filter(lambda text: text.isprintable())


@given(st.lists(st.tuples(texts, texts, st.booleans()), min_size=1, max_size=5), st.booleans())
def test_what_was_written_is_read_again(tmp_path_factory, contents, has_impossible):
    path = tmp_path_factory.mktemp("written") / "squad.json.gz"
    passages = [
        Passage(
            text, (Question(f"q{n}", question, (Answer(text, 0),)),), "T", Origin("p", "rules", 0.5) if aug else None
        )
        for n, (text, question, aug) in enumerate(contents)
    ]
    extra = (Passage("w", (Question("no", "w", (), impossible=True),)),) if has_impossible else ()
    corpus = Corpus((*passages, *extra), "2.0" if has_impossible else "1.1")
    write_squad(path, corpus)
    assert read_squad(path) == (corpus, ())


def test_written_files_are_equal_where_the_corpora_are(tmp_path, write):
    corpus = read_squad(write(paragraph(qa()))).corpus
    write_squad(tmp_path / "a.json.gz", corpus)
    write_squad(tmp_path / "b.json.gz", corpus)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


@pytest.mark.parametrize(("offset", "start"), [(0, 11), (12, 11), (16, 17), (99, 17), (-5, 11), ("7", 11)])
def test_wrong_offset_is_mended_by_the_nearest_occurrence(write, offset, start):
    loaded = read_squad(write(paragraph(qa(answers=[{"text": "blue", "answer_start": offset}]))))
    assert loaded.corpus.passages[0].questions[0].answers == (Answer("blue", start),)
    assert loaded.problems == (Problem(ProblemKind.WRONG_OFFSET, "q"),)


@pytest.mark.parametrize(("text", "start", "kinds_told"), [("blue", 11, [ProblemKind.NO_OFFSET]), ("sky", 4, [])])
def test_answer_without_an_offset_is_told_only_where_it_occurs_several_times(write, text, start, kinds_told):
    loaded = read_squad(write(paragraph(qa(answers=[{"text": text}]))))
    assert loaded.corpus.passages[0].questions[0].answers == (Answer(text, start),)
    assert kinds(loaded) == kinds_told


def test_offset_in_code_points_is_taken_as_it_is(write):
    loaded = read_squad(write(paragraph(qa(answers=[{"text": "é", "answer_start": 2}]), context="😀 é é")))
    assert loaded.problems == ()


def test_blanks_around_an_answer_are_cut_only_where_it_would_not_occur(write):
    answers = [{"text": " blue", "answer_start": 10}, {"text": "blue  ", "answer_start": 11}]
    loaded = read_squad(write(paragraph(qa(answers=answers))))
    assert loaded.corpus.passages[0].questions[0].answers == (Answer(" blue", 10), Answer("blue", 11))
    assert kinds(loaded) == [ProblemKind.WRONG_OFFSET]


def test_answer_that_does_not_occur_is_left_out_and_the_question_with_its_last_answer(write):
    red = {"text": "red", "answer_start": 3}
    loaded = read_squad(write(paragraph(qa("a", answers=[red]), qa("b", answers=[red, qa()["answers"][0]]))))
    assert [question.id for question in loaded.corpus.passages[0].questions] == ["b"]
    assert kinds(loaded) == [ProblemKind.LOST_ANSWER, ProblemKind.LOST_ANSWER, ProblemKind.UNANSWERED]


def test_second_question_of_an_id_is_left_out(write):
    loaded = read_squad(write(paragraph(qa(text="First?"), qa(text="Second?"))))
    assert [question.text for question in loaded.corpus.passages[0].questions] == ["First?"]
    assert kinds(loaded) == [ProblemKind.DUPLICATE_ID]


@pytest.mark.parametrize("empty", ["", " \n", "\x00\x01"])
def test_texts_without_words_are_left_out(write, empty):
    answer = {"text": empty, "answer_start": 0}
    loaded = read_squad(
        write(
            paragraph(qa("kept"), qa("a", text=empty), qa("b", answers=[answer])),
            paragraph(qa("gone"), context=empty),
        )
    )
    assert [asked.question.id for asked in loaded.corpus.asked()] == ["kept"]
    assert {ProblemKind.EMPTY_QUESTION, ProblemKind.EMPTY_ANSWER, ProblemKind.EMPTY_PASSAGE} <= set(kinds(loaded))


def test_unlabelled_questions_stay_where_they_are_to_be_answered(write):
    lost = {"text": "nowhere", "answer_start": 0}
    path = write(paragraph(qa("a"), qa("b") | {"answers": None}, qa("c", answers=[lost])))
    assert kinds(read_squad(path)) == [ProblemKind.LOST_ANSWER, ProblemKind.UNANSWERED, ProblemKind.UNANSWERED]
    assert read_squad(path, labelled=False).corpus.num_questions == 3


def test_questions_with_an_empty_list_of_answers_are_unanswerable(write):
    flagless = {"plausible_answers": [{"text": "blue", "answer_start": 11}]}
    loaded = read_squad(write(paragraph(qa("a"), qa("b", answers=[], **flagless)), version="v2.0"))
    assert [question.impossible for question in loaded.corpus.passages[0].questions] == [False, True]
    assert (loaded.corpus.version, loaded.problems) == ("2.0", ())


@pytest.mark.parametrize(("version", "more"), [("1.1", {}), (None, {"is_impossible": False})])
def test_empty_list_is_told_where_the_file_says_otherwise(write, version, more):
    loaded = read_squad(write(paragraph(qa("a"), qa("b", answers=[], **more)), version=version))
    assert (loaded.corpus.version, loaded.problems) == ("2.0", (Problem(ProblemKind.EMPTY_LIST, "b"),))


def test_empty_lists_alone_are_questions_without_labels(write):
    path = write(paragraph(qa("a", answers=[]), qa("b", answers=[])), version=None)
    with pytest.raises(DataError, match="2 questions without answers were left out"):
        read_squad(path)
    assert read_squad(path, labelled=False).corpus.num_questions == 2


@pytest.mark.parametrize("version", ["1.0", "KorQuAD_v1.0_dev", "xquad", 3, None])
def test_any_word_may_stand_in_version(write, version):
    loaded = read_squad(write(paragraph(qa()), version=version))
    assert (loaded.corpus.version, loaded.corpus.num_questions) == ("1.1", 1)


def test_question_with_unreadable_fields_costs_only_itself(write):
    broken = [qa("b", text=7), qa("c") | {"answers": {"text": 3}}, {"id": ["d"], "question": "Why?"}, None]
    loaded = read_squad(write(paragraph(qa("a"), *broken), {"context": 3, "qas": []}))
    assert [asked.question.id for asked in loaded.corpus.asked()] == ["a"]
    assert kinds(loaded) == [ProblemKind.MALFORMED] * 5
    assert loaded.problems[0].place.endswith("qas[1].question must be text, but is a int")


def test_question_without_an_id_is_named_by_its_file_and_place(write):
    without = {"question": "What?", "answers": [{"text": "sky", "answer_start": 4}]}
    loaded = read_squad(write(paragraph(qa("a"), without, without)))
    assert [asked.question.id for asked in loaded.corpus.asked()] == ["a", "squad-2", "squad-3"]


def test_impossible_question_has_no_answers_whatever_the_file_says(write):
    plausible = {"plausible_answers": [{"text": "blue", "answer_start": 11}]}
    path = write(
        paragraph(qa("a", answers=[], is_impossible=True, **plausible), qa("b", is_impossible=True)), version="v2.0"
    )
    loaded = read_squad(path)
    assert loaded.corpus.version == "2.0"
    assert [(asked.question.impossible, asked.question.answers) for asked in loaded.corpus.asked()] == [(True, ())] * 2
    assert kinds(loaded) == [ProblemKind.CONTRADICTION]


def test_control_characters_half_pairs_and_long_words_are_told(write):
    path = write(paragraph(qa(), context="The sky is blue\x00 \ud800 " + "x" * 100_000))
    loaded = read_squad(path)
    assert loaded.corpus.passages[0].text[16:19] == " \ufffd "
    assert set(kinds(loaded)) == {ProblemKind.CONTROL_CHARACTER, ProblemKind.SURROGATE, ProblemKind.LONG_WORD}
    assert loaded.problems[0].place.endswith("squad.json.data[0].paragraphs[0]")


def test_version_is_told_by_the_content_where_the_file_does_not_say(tmp_path, write):
    assert read_squad(write(paragraph(qa()), version=None)).corpus.version == "1.1"
    path = write(paragraph(qa(answers=[], is_impossible=True)), version=None)
    assert read_squad(path).corpus.version == "2.0"


def test_problems_are_logged_by_kind_with_examples(write, caplog):
    read_squad(write(paragraph(*(qa(f"q{n % 7}") for n in range(12)))))
    assert caplog.messages[0].endswith(
        "squad.json: 5 questions were left out because their id had been used before, e.g. 'q0', 'q1', 'q2' and 2 more"
    )


def test_no_problems_make_no_lines():
    assert problem_lines(()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"data":\n [1,,2]}', r"not valid JSON: Expecting value at line 2, column 5"),
        (b'{"data":\n "\xff"}', r"bad.json is not UTF-8 text at line 2, byte column 3: save it as UTF-8"),
        (b"[" * 100_000, r"nested too deeply"),
        (b"[" + b"1" * 5000 + b"]", r"bad.json is not usable JSON: a number in it has too many digits"),
        (gzip.compress(b"{}" * 999, mtime=0)[:20], r"damaged gzip file"),
        (b"[]", r"holds no question that can be used: it is empty"),
        (b"[3]", r"bad.json\[0\] must be an object, \{...\}, but is a int"),
        (b"{}", r"bad.json.data must be a list, \[...\], but is missing"),
        (
            b'{"data": [{"paragraphs": [{"context": 3}]}]}',
            r"data\[0\].paragraphs\[0\].context must be text, but is a int",
        ),
        (b'{"data": []}', r"holds no question that can be used: it is empty"),
    ],
)
def test_unusable_file_is_refused_with_the_place(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_squad(path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none.json cannot be read: No such file"):
        read_squad(tmp_path / "none.json")


def test_byte_order_mark_is_no_error(tmp_path, write):
    path = write(paragraph(qa()))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_squad(path).corpus.num_questions == 1


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "passages", "questions", "answers"),
    [
        ("dev-v1.1.json.gz", 2067, 10570, 34726),
        ("dev-v2.0.json.gz", 1204, 11873, 20302),
        ("train-v1.1-400articles.json.gz", 17076, 79215, 79215),
    ],
)
def test_real_files_are_read_whole_and_without_problems(real_data, name, passages, questions, answers):
    corpus, problems = read_squad(real_data / "squad" / name)
    found = sum(len(asked.question.answers) for asked in corpus.asked())
    assert (len(corpus.passages), corpus.num_questions, found, problems) == (passages, questions, answers, ())
