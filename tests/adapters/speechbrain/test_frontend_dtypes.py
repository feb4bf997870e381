"""Types of samples and weights: the front-end computes in float32 and hands back what came in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend

LOW = (torch.float16, torch.bfloat16)


def trained_parameters(frontend: EnhanceFrontend) -> list[nn.Parameter]:
    found = [parameter for parameter in frontend.parameters() if parameter.requires_grad]
    assert len(found) > 50
    return found


@contextlib.contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def given(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    wavs, lengths = batch
    return wavs[:, :8000].clone(), lengths


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casting_a_recipe_leaves_the_weights_of_the_front_end(
    cast: str, trainable: bool, given: tuple[Tensor, Tensor]
) -> None:
    wavs, lengths = given
    frontend = EnhanceFrontend(trainable=trainable).eval()
    expected = frontend(wavs, lengths)
    before = {name: tensor.clone() for name, tensor in frontend.state_dict().items()}
    recipe = nn.ModuleDict({"frontend": frontend, "model": nn.Linear(1, 1)})
    getattr(recipe, cast)()
    dtype = recipe["model"].weight.dtype
    assert dtype != torch.float32
    for name, tensor in frontend.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
    assert torch.equal(frontend(wavs, lengths), expected)
    result = frontend(wavs.to(dtype), lengths)
    assert result.dtype == dtype
    exact = frontend(wavs.to(dtype).float(), lengths)
    assert torch.equal(result, exact.to(dtype)), "rounded once, at the end"


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("dtype", LOW)
def test_autocast_changes_nothing(dtype: torch.dtype, trainable: bool, given: tuple[Tensor, Tensor]) -> None:
    frontend = EnhanceFrontend(trainable=trainable).eval()
    expected = frontend(*given)
    with torch.autocast("cpu", dtype=dtype):
        result = frontend(*given)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)


@pytest.mark.parametrize("trainable", [False, True])
def test_torchs_default_type_changes_nothing(trainable: bool, given: tuple[Tensor, Tensor]) -> None:
    expected = EnhanceFrontend(trainable=trainable).eval()(*given)
    with default_type(torch.float64):
        frontend = EnhanceFrontend(trainable=trainable, train_strength=[0.2, 0.8]).eval()
        result = frontend(*given)
        double = frontend(given[0].double(), given[1].double())
        assert {tensor.dtype for tensor in frontend.parameters()} == {torch.float32}
        if trainable:
            trained = frontend.train()(*given)
            trained.square().mean().backward()
            assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trained_parameters(frontend))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), expected, atol=1e-6, rtol=0)


def test_weights_keep_their_type_in_gradients_of_half_samples(given: tuple[Tensor, Tensor]) -> None:
    frontend = EnhanceFrontend(trainable=True).bfloat16()
    frontend(given[0].bfloat16(), given[1]).float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trained_parameters(frontend))


def test_the_torch_engine_with_another_default_type(given: tuple[Tensor, Tensor]) -> None:
    samples = given[0][0].numpy()
    expected = Enhancer(engine="torch").enhance(samples)
    with default_type(torch.float64):
        result = Enhancer(engine="torch").enhance(samples)
    torch.testing.assert_close(torch.from_numpy(result), torch.from_numpy(expected), atol=1e-6, rtol=0)
