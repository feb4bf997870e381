import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import (
    CtcRecognizer,
    RecognizerConfig,
    greedy_symbols,
    output_lengths,
)

CONFIG = RecognizerConfig(n_mels=40, used_mels=30, channels=16, hidden=24, layers=2, symbols=11, dropout=0.0)


@pytest.fixture(scope="module")
def network() -> CtcRecognizer:
    torch.manual_seed(0)
    network = CtcRecognizer(CONFIG).eval()
    network.mean.normal_(-8, 1)
    network.scale.uniform_(0.2, 0.4)
    return network


def features(batch: int, frames: int) -> torch.Tensor:
    return torch.randn(batch, frames, CONFIG.n_mels, generator=torch.Generator().manual_seed(frames)) * 3 - 8


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_chunks_of_any_size_give_what_the_whole_gives(network: CtcRecognizer, fours: list[int]) -> None:
    whole = features(2, 4 * sum(fours))
    cache, pieces, start = network.initial_cache(2), [], 0
    with torch.no_grad():
        for n in fours:
            scores, cache = network.stream(whole[:, start : start + 4 * n], cache)
            pieces.append(scores)
            start += 4 * n
        torch.testing.assert_close(torch.cat(pieces, dim=1), network(whole), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=4))
def test_an_utterance_in_a_padded_batch_is_as_alone(network: CtcRecognizer, frames: list[int]) -> None:
    alone = [features(1, n) for n in frames]
    padded = torch.full((len(frames), max(frames), CONFIG.n_mels), -23.03)
    for row, item in zip(padded, alone, strict=True):
        row[: item.shape[1]] = item[0]
    lengths = output_lengths(torch.tensor(frames))
    with torch.no_grad():
        together = network(padded, torch.tensor(frames))
        for row, item, length in zip(together, alone, lengths.tolist(), strict=True):
            single = network(item)[0]
            assert len(single) == length
            torch.testing.assert_close(row[:length], single, atol=1e-5, rtol=0)


def test_scores_are_log_probabilities_and_bands_beyond_those_in_use_do_not_matter(network: CtcRecognizer) -> None:
    x = features(1, 40)
    other = x.clone()
    other[..., CONFIG.used_mels :] += 5
    with torch.no_grad():
        scores = network(x)
        torch.testing.assert_close(scores.exp().sum(-1), torch.ones(1, 10))
        torch.testing.assert_close(network(other), scores)


def test_no_output_depends_on_later_frames(network: CtcRecognizer) -> None:
    x = features(1, 40)
    other = x.clone()
    other[:, 20:] = 0
    with torch.no_grad():
        torch.testing.assert_close(network(other)[:, :5], network(x)[:, :5])


def test_greedy_decoding_merges_repeats_and_drops_blanks() -> None:
    path = torch.tensor([0, 3, 3, 0, 3, 5, 5, 0])
    scores = torch.nn.functional.one_hot(path, 6).float().log()
    assert greedy_symbols(scores) == [3, 3, 5]


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    network = CtcRecognizer(CONFIG)
    scores = network(features(2, 40))
    loss = torch.nn.functional.ctc_loss(
        scores.transpose(0, 1), torch.tensor([1, 2, 3]), torch.tensor([10, 10]), torch.tensor([2, 1])
    )
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
