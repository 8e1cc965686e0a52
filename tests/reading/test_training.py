import torch
from torch import nn

from modicum.reading.data.batches import Collator
from modicum.reading.data.corpus import Answer, Corpus, Passage, Question
from modicum.reading.data.examples import reading_examples, training_examples
from modicum.reading.data.tokens import tokenize
from modicum.reading.data.vectors import HashedVectors
from modicum.reading.data.vocabulary import Vocabulary
from modicum.reading.inputs import MASKED, Logits
from modicum.reading.recipe import AdamOptions, TextOptions
from modicum.reading.training import ReadingStage, span_loss
from modicum.training.optimisers import clip_gradients

TEXT = "Bako is red ."
CORPUS = Corpus(
    (
        Passage(
            TEXT,
            (
                Question("a", "what is Bako ?", (Answer("red", 8),)),
                Question("b", "who is red ?", (Answer("Bako", 0),)),
            ),
        ),
    ),
    "1.1",
)
COLLATOR = Collator(Vocabulary(("red",), ("r",)), HashedVectors(4), 5)


class Pointer(nn.Module):
    """Points at one word, wherever: its logits are a weight for each position."""

    has_no_answer = False

    def __init__(self, place=2):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(8)[place])

    def forward(self, words, vectors, characters, passage, question, match):
        logits = self.weight[: passage.shape[1]].expand(passage.shape).masked_fill(passage == 0, MASKED)
        return Logits(logits, logits)


def stage_of(network, **options):
    return ReadingStage(network, optimizer=AdamOptions(**options), answer_tokens=3, watched=CORPUS)


def step(stage, batch):
    """One step of the stage, as Lightning takes it."""
    chosen = stage.configure_optimizers()
    chosen["optimizer"].zero_grad()
    stage.training_step(batch, 0).backward()
    clip_gradients(chosen["optimizer"])
    chosen["optimizer"].step()


def test_loss_is_the_sum_of_the_mean_log_losses_of_start_and_end():
    logits = Logits(
        torch.tensor([[0.0, 1.0, MASKED], [2.0, 0.0, 1.0]]), torch.tensor([[1.0, 0.0, MASKED], [0.0, 3.0, 1.0]])
    )
    start, end = torch.tensor([1, 0]), torch.tensor([1, 2])
    by_hand = (
        -(
            logits.start.log_softmax(1)[0, 1]
            + logits.start.log_softmax(1)[1, 0]
            + logits.end.log_softmax(1)[0, 1]
            + logits.end.log_softmax(1)[1, 2]
        )
        / 2
    )
    torch.testing.assert_close(span_loss(logits, start, end), by_hand)


def test_loss_of_half_precision_logits_is_taken_in_single():
    logits = Logits(*(torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16) for _ in range(2)))
    assert span_loss(logits, torch.tensor([1]), torch.tensor([1])).dtype == torch.float32


def test_first_step_is_adams_with_coupled_decay_clipped_gradient_and_warm_rate():
    options = {"learning_rate": 0.1, "warmup_steps": 1000, "weight_decay": 0.5, "gradient_clip": 0.01}
    network, reference = Pointer(), Pointer()
    batch = COLLATOR(training_examples(CORPUS, tokenize, TextOptions()).examples)
    span_loss(reference(*batch.inputs), batch.start, batch.end).backward()
    nn.utils.clip_grad_norm_(reference.parameters(), 0.01)
    gradient = reference.weight.grad + 0.5 * reference.weight.detach()  # the penalty is not clipped: it is Adam's own
    rate = 0.1 * AdamOptions().warmth(1)
    expected = reference.weight.detach() - rate * gradient / (gradient.abs() + 1e-7)
    stage = stage_of(network, **options)
    stage.log = lambda *_, **__: None
    step(stage, batch)
    torch.testing.assert_close(network.weight.detach(), expected, rtol=1e-4, atol=1e-6)


def test_validation_scores_answers_by_the_official_rules():
    stage, logged = stage_of(Pointer(place=2)), {}
    stage.log = lambda name, value, **_: logged.__setitem__(name, value)
    stage.on_validation_epoch_start()
    for example in reading_examples(CORPUS, tokenize, TextOptions()):
        stage.validation_step(COLLATOR([example]), 0)
    stage.on_validation_epoch_end()
    assert logged == {"val/f1": 50.0, "val/exact": 50.0}  # "red" for both questions


def test_validation_takes_the_best_of_all_windows():
    stage, logged = stage_of(Pointer(place=1)), {}
    stage.log = lambda name, value, **_: logged.__setitem__(name, value)
    options = TextOptions(passage_tokens=2, stride=1)
    for example in reading_examples(CORPUS, tokenize, options):
        stage.validation_step(COLLATOR([example]), 0)
    assert {name: len(seen) for name, seen in stage.seen.items()} == {"a": 3, "b": 3}
    stage.on_validation_epoch_start()
    assert stage.seen == {}
