import pytest

from modicum.reading.augmentation.paraphrasing import BackTranslator, CachedParaphraser, different
from modicum.storage.errors import DataError

SENTENCES = ["The cat sat on the mat today .", "A dog ran ."]


def reverse(word):
    return word[::-1]


def test_translation_there_and_back_gives_up_to_k_squared_paraphrases(dict_translator):
    there, back = dict_translator(reverse, 0.1, 1), dict_translator(reverse, 0.1, 2)
    found = BackTranslator(there, back, pivot="xx", num_pivots=5, num_back=5).paraphrase(SENTENCES)
    assert len(there.calls[0]) == 2
    assert len(back.calls[0]) == 10
    assert 3 < len(found[0]) <= 25
    assert all(
        set(text.split()) <= set(sentence.split()) for sentence, f in zip(SENTENCES, found, strict=True) for text in f
    )


def test_translation_that_comes_back_equal_is_no_paraphrase(dict_translator):
    translator = dict_translator(reverse)
    assert BackTranslator(translator, translator, pivot="xx").paraphrase(SENTENCES) == [[], []]


def test_no_sentences_ask_no_translator(dict_translator):
    translator = dict_translator(reverse)
    assert BackTranslator(translator, translator, pivot="xx").paraphrase([]) == []
    assert translator.calls == []


def test_a_plain_function_of_the_user_translates():
    def shout(sentences, n_best):
        return [[sentence.upper()] * n_best for sentence in sentences]

    assert BackTranslator(shout, shout, pivot="xx").paraphrase(["a b"]) == [["A B"]]


def test_a_translator_of_the_user_needs_one_method_only():
    class Shouting:
        def translate(self, sentences, n_best):
            return [[sentence.upper()] * n_best for sentence in sentences]

    assert BackTranslator(Shouting(), Shouting(), pivot="xx").paraphrase(["a b"]) == [["A B"]]


def test_translator_that_loses_sentences_is_refused():
    class Lossy:
        def translate(self, sentences, n_best):
            return [["x"]]

    with pytest.raises(DataError, match="one list for each sentence, but gave 1 for 2"):
        BackTranslator(Lossy(), Lossy(), pivot="xx").paraphrase(SENTENCES)


@pytest.mark.parametrize(("num_pivots", "num_back"), [(0, 5), (5, 0)])
def test_no_beams_are_refused(num_pivots, num_back, dict_translator):
    with pytest.raises(ValueError, match="must be at least 1"):
        BackTranslator(
            dict_translator(reverse), dict_translator(reverse), pivot="xx", num_pivots=num_pivots, num_back=num_back
        )


def test_different_keeps_order_and_drops_copies():
    assert different(["b", " a ", "", "b", "c  d"], "a") == ["b", "c d"]


def test_cache_asks_for_each_sentence_once(tmp_path, word_paraphraser):
    inner = word_paraphraser(cat="dog")
    cached = CachedParaphraser(inner, tmp_path / "cache.jsonl")
    assert cached.paraphrase(["a cat", "a cat", "no"]) == [["a dog"], ["a dog"], []]
    assert cached.paraphrase(["no", "a cat"]) == [[], ["a dog"]]
    assert inner.asked == [["a cat", "no"]]


def test_stopped_job_goes_on_after_its_last_batch(tmp_path, word_paraphraser):
    class Stopping(word_paraphraser):
        def paraphrase(self, sentences):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().paraphrase(sentences)

    sentences = [f"cat {n}" for n in range(10)]
    with pytest.raises(KeyboardInterrupt):
        CachedParaphraser(Stopping(cat="dog"), tmp_path / "cache.jsonl", batch_size=3).paraphrase(sentences)
    rest = word_paraphraser(cat="dog")
    found = CachedParaphraser(rest, tmp_path / "cache.jsonl", batch_size=3).paraphrase(sentences)
    assert found == [[f"dog {n}"] for n in range(10)]
    assert rest.asked == [sentences[6:9], sentences[9:]]


def test_half_a_line_of_a_killed_job_is_asked_for_again(tmp_path, word_paraphraser):
    path = tmp_path / "cache.jsonl"
    CachedParaphraser(word_paraphraser(cat="dog"), path).paraphrase(["a cat", "b cat"])
    path.write_bytes(path.read_bytes()[:-10])
    inner = word_paraphraser(cat="dog")
    assert CachedParaphraser(inner, path).paraphrase(["a cat", "b cat"]) == [["a dog"], ["b dog"]]
    assert inner.asked == [["b cat"]]
    assert CachedParaphraser(word_paraphraser(), path).paraphrase(["b cat"]) == [["b dog"]]


@pytest.mark.parametrize("name", ["source", "method", "settings"])
def test_one_file_keeps_paraphrasers_apart(tmp_path, word_paraphraser, name):
    first, second = word_paraphraser(cat="dog"), word_paraphraser(cat="cow")
    setattr(second, name, "other")
    path = tmp_path / "cache.jsonl"
    assert CachedParaphraser(first, path).paraphrase(["cat"]) == [["dog"]]
    assert CachedParaphraser(second, path).paraphrase(["cat"]) == [["cow"]]


def test_another_file_is_refused(tmp_path, word_paraphraser):
    path = tmp_path / "other.jsonl"
    path.write_text('{"loss": 1}\n')
    with pytest.raises(DataError, match=r"other\.jsonl is no cache of paraphrases: choose another file"):
        CachedParaphraser(word_paraphraser(), path)
