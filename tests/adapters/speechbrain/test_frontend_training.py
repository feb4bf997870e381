"""The module `EnhanceFrontend` while it is trained: gradients, precision, and its ways to disk and back."""

from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import Tensor, nn

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.model import installed_model_file

Batch = tuple[Tensor, Tensor]


@pytest.fixture
def short(batch: Batch) -> Batch:
    return batch[0][:, 4000:9000], torch.tensor([1.0, 0.8, 0.5])


def train_a_step(frontend: EnhanceFrontend, batch: Batch) -> None:
    optimizer = torch.optim.SGD(frontend.parameters(), lr=0.1)
    frontend.train()(*batch).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def learnable(frontend: EnhanceFrontend) -> set[str]:
    return {name for name, _ in frontend.net.named_parameters() if not name.startswith("erb.")}


@pytest.mark.parametrize("freeze_batch_norm", [True, False])
def test_gradients_reach_every_learnable_parameter(short: Batch, freeze_batch_norm: bool) -> None:
    frontend = EnhanceFrontend(trainable=True, freeze_batch_norm=freeze_batch_norm)
    wavs = short[0].clone().requires_grad_()
    frontend(wavs, short[1]).square().mean().backward()
    reached = {name for name, p in frontend.net.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == learnable(frontend)
    assert sum(frontend.net.get_parameter(name).numel() for name in reached) == 23669
    assert wavs.grad is not None
    assert wavs.grad[0].any()
    assert not wavs.grad[1, 4000:].any(), "nothing comes out of the padding"


def test_no_gradients_when_frozen(short: Batch) -> None:
    frontend = EnhanceFrontend()
    assert not any(parameter.requires_grad for parameter in frontend.parameters())
    assert not frontend(*short).requires_grad


def test_freezing_and_unfreezing(short: Batch) -> None:
    frontend = EnhanceFrontend()
    frontend.trainable = True
    assert {name for name, p in frontend.net.named_parameters() if p.requires_grad} == learnable(frontend)
    train_a_step(frontend, short)
    frontend.eval()
    with torch.no_grad():
        expected = frontend(*short)
    frontend(*short).mean().backward()
    frontend.trainable = False
    assert all(p.grad is None and not p.requires_grad for p in frontend.parameters())
    torch.testing.assert_close(frontend(*short), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(EnhanceFrontend()(*short), expected, atol=1e-4), "the step has changed something"


@pytest.mark.parametrize("freeze", [True, False])
def test_statistics_of_batch_normalisation(short: Batch, freeze: bool) -> None:
    frontend = EnhanceFrontend(trainable=True, freeze_batch_norm=freeze)
    before = {name: buffer.clone() for name, buffer in frontend.named_buffers()}
    frontend.eval().train()(*short)
    same = [torch.equal(buffer, before[name]) for name, buffer in frontend.named_buffers()]
    assert len(same) > 20
    assert all(same) if freeze else not any(same)


def test_bf16_autocast_changes_nothing(short: Batch, learner: EnhanceFrontend) -> None:
    expected = learner(*short)
    with torch.autocast("cpu", torch.bfloat16):
        enhanced = learner(*short)
        loss = nn.functional.linear(enhanced, torch.ones(2, enhanced.shape[1])).square().mean()
    assert torch.equal(enhanced, expected)
    loss.backward()
    gradients = [p.grad for p in learner.net.parameters() if p.requires_grad]
    assert all(g is not None and g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    learner.zero_grad(set_to_none=True)


@pytest.mark.parametrize("trainable", [True, False])
def test_torch_compile(short: Batch, trainable: bool) -> None:
    """With `aot_eager`, which does all that inductor does but for generating code."""
    frontend = EnhanceFrontend(trainable=trainable)
    model = nn.Sequential(frontend, nn.Linear(short[0].shape[1], 2))
    compiled = torch.compile(model, backend="aot_eager")
    output = compiled(short[0])
    torch.testing.assert_close(output, model(short[0]))
    output.sum().backward()
    reached = {name for name, p in frontend.net.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == (learnable(frontend) if trainable else set())
    alone = torch.compile(frontend, backend="aot_eager")
    assert torch.equal(alone(*short), frontend(*short))


def test_saved_weights_stream(tmp_path: Path, short: Batch) -> None:
    frontend = EnhanceFrontend(trainable=True)
    train_a_step(frontend, short)
    path = tmp_path / "tuned.safetensors"
    frontend.save_safetensors(path)
    with torch.no_grad():
        expected = frontend.eval()(short[0][:1])[0]
    streamed = torch.from_numpy(Enhancer(model=path).enhance(short[0][0].numpy()))
    torch.testing.assert_close(streamed, expected, atol=1e-4, rtol=0)
    assert torch.equal(EnhanceFrontend(path)(*short), frozen_twin(frontend)(*short))


def frozen_twin(frontend: EnhanceFrontend) -> EnhanceFrontend:
    twin = EnhanceFrontend()
    twin.load_state_dict(frontend.state_dict())
    return twin


@pytest.mark.parametrize("resumed_as", [True, False])
def test_the_checkpointer_saves_and_resumes(tmp_path: Path, short: Batch, resumed_as: bool) -> None:
    trained = EnhanceFrontend(trainable=True)
    train_a_step(trained, short)
    checkpoint = Checkpointer(tmp_path, {"frontend": trained}).save_checkpoint()
    resumed = EnhanceFrontend(trainable=resumed_as)
    Checkpointer(tmp_path, {"frontend": resumed}).recover_if_possible()
    assert all(torch.equal(resumed.state_dict()[name], tensor) for name, tensor in trained.state_dict().items())
    with torch.no_grad():
        torch.testing.assert_close(resumed.eval()(*short), trained.eval()(*short), atol=1e-4, rtol=0)
    assert torch.equal(EnhanceFrontend(checkpoint.paramfiles["frontend"])(*short), frozen_twin(trained)(*short))


def test_the_pretrainer_loads_by_path(tmp_path: Path, short: Batch, random_checkpoint: Path) -> None:
    expected = EnhanceFrontend(random_checkpoint)(*short)
    frontend = EnhanceFrontend()
    pretrainer = Pretrainer(tmp_path / "collected", {"frontend": frontend}, {"frontend": str(random_checkpoint)})
    pretrainer.collect_files()
    pretrainer.load_collected()
    assert torch.equal(frontend(*short), expected)


def test_the_pretrainer_loads_what_a_checkpointer_has_saved(tmp_path: Path, short: Batch) -> None:
    trained = EnhanceFrontend(trainable=True)
    train_a_step(trained, short)
    folder = Checkpointer(tmp_path / "save", {"frontend": trained}).save_checkpoint().path
    frontend = EnhanceFrontend()
    pretrainer = Pretrainer(tmp_path / "collected", {"frontend": frontend})
    pretrainer.collect_files(default_source=str(folder))
    pretrainer.load_collected()
    assert torch.equal(frontend(*short), frozen_twin(trained)(*short))


@pytest.mark.parametrize("collect_in", ["collected", None])
def test_the_pretrainer_loads_by_registered_name_from_yaml(
    tmp_path: Path, short: Batch, random_checkpoint: Path, collect_in: str | None
) -> None:
    collected = "null" if collect_in is None else tmp_path / collect_in
    recipe = f"""
        frontend: !new:gtcrn_frontend.adapters.speechbrain.EnhanceFrontend
            model: {random_checkpoint}
        pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
            collect_in: {collected}
            loadables:
                frontend: !ref <frontend>
            paths:
                frontend: gtcrn-asr
        """
    for _ in range(2):  # a second run finds what the first has collected
        hparams = load_hyperpyyaml(recipe)
        hparams["pretrainer"].collect_files()
        hparams["pretrainer"].load_collected()
        assert torch.equal(hparams["frontend"](*short), EnhanceFrontend("gtcrn-asr")(*short))


def test_a_name_that_is_not_registered_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read checkpoint .*gtcrn-usr"):
        EnhanceFrontend().load_weights(tmp_path / "gtcrn-usr")


def test_the_released_layout_is_kept(tmp_path: Path) -> None:
    """The embedded model goes through the module unchanged."""
    frontend = EnhanceFrontend()
    frontend.save_safetensors(tmp_path / "same.safetensors")
    noise = torch.randn(4000).numpy() / 10
    same = Enhancer(model=tmp_path / "same.safetensors").enhance(noise)
    assert (same == Enhancer(model=installed_model_file("gtcrn-asr.safetensors")).enhance(noise)).all()
