import pytest

from modicum.reading.metrics import exact_match, f1_v1
from modicum.reading.normalisation import Rules, answer_words, normalise, rules_of


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("The mill was built in 1800.", Rules.OFFICIAL),
        ("Die „Mühle“ in Łódź, «Đà Nẵng»", Rules.OFFICIAL),
        ("", Rules.OFFICIAL),
        ("1973\u20131974", Rules.OFFICIAL),
        ("The Chinese name is 元朝, pinyin Yuán Cháo.", Rules.OFFICIAL),
        ("磨坊由李明建造。", Rules.ANY_SCRIPT),
        ("Windows Subsystem for Linux是微软公司的兼容层。", Rules.ANY_SCRIPT),
        ("부산의 방앗간은 1800년에 민수가 지었다.", Rules.ANY_SCRIPT),
        ("Мельница построена в 1800 году.", Rules.ANY_SCRIPT),
        ("بنيت الطاحونة", Rules.ANY_SCRIPT),
    ],
)
def test_rules_follow_the_letters_of_most_words(text, rules):
    assert rules_of(text) is rules


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("《红楼梦》,共120 回。", ["红", "楼", "梦", "共", "120", "回"]),
        ("「東京タワー」", ["東", "京", "タ", "ワ", "ー"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("민수가·지었다", ["민", "수", "가", "지", "었", "다"]),
        ("«Санкт-Петербург»!", ["санктпетербург"]),
        ("؟مرحبا،", ["مرحبا"]),
        ("कैसे हैं।", ["कैसे", "हैं"]),
        ("维生素 A", ["维", "生", "素", "a"]),  # the article of another language stays
    ],
    ids=["Chinese", "Japanese", "Thai", "Korean", "Russian", "Arabic", "Hindi", "a letter"],
)
def test_words_without_punctuation_of_any_script(answer, words):
    assert answer_words(answer) == words


def test_f1_is_by_characters_where_words_have_no_blanks():
    assert f1_v1("李明建造", "李明") == pytest.approx(2 / 3)
    assert f1_v1("민수가", "민수") == pytest.approx(0.8)
    assert exact_match("「李明」", "李明")


def test_a_pair_without_letters_of_one_side_is_compared_alike():
    assert exact_match("2001\u20132003", "2001\u20132003")
    assert f1_v1("2001\u20132003", "2001\u20132003 годы") == pytest.approx(2 / 3)


def test_official_rules_can_be_asked_for():
    assert normalise("«Москва»", Rules.OFFICIAL) == "«москва»"
    assert normalise("“Paris”", Rules.ANY_SCRIPT) == "paris"
