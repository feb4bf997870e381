"""`FrontendMixin`: a Brain with the front-end, in each stage, frozen and trained."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.checkpoints import Checkpointer
from torch import Tensor, nn

from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend, FrontendMixin
from gtcrn_frontend.errors import ConfigError

SAMPLES = 2000


class Records:
    """The methods of a recipe, which remember what they were given."""

    device: Any
    modules: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: dict[str, list[Tensor]] = {stage.name: [] for stage in sb.Stage}
        self.untouched: list[Tensor] = []
        self.epochs: list[tuple[str, int | None]] = []

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Tensor:
        batch = batch.to(self.device)
        wavs, _ = batch.sig
        self.seen[stage.name].append(wavs)
        output: Tensor = self.modules.model(wavs)
        return output

    def compute_objectives(self, predictions: Tensor, batch: Any, stage: sb.Stage) -> Tensor:
        self.untouched.append(batch.sig.data)
        return (predictions - batch.target.data).square().mean()

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        self.epochs.append((stage.name, epoch))


class Recipe(Records, sb.Brain):
    """A recipe without front-end."""


class Before(FrontendMixin, Recipe):
    """The mixin before a whole Brain."""


class Behind(Records, FrontendMixin, sb.Brain):
    """As where a recipe's own class, whose methods come first, has the mixin among its bases."""


@pytest.fixture(scope="module")
def data(batch: tuple[Tensor, Tensor]) -> DynamicItemDataset:
    signals = [batch[0][0, start : start + SAMPLES - 300 * k] for k, start in enumerate((5000, 9000, 13000))]
    items = {f"{k}": {"sig": signal, "target": torch.tensor([0.1 * k])} for k, signal in enumerate(signals)}
    return DynamicItemDataset(items, output_keys=["id", "sig", "target"])


class Pooled(nn.Module):
    """A recogniser for any length: eight weights on the loudest samples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 1)

    def forward(self, wavs: Tensor) -> Tensor:
        predicted: Tensor = self.linear(wavs.topk(8).values)
        return predicted


def make(
    kind: Any = Before,
    *,
    frontend: EnhanceFrontend | None = None,
    checkpoints: Path | None = None,
    **hparams: Any,
) -> Any:
    torch.manual_seed(0)
    modules = {"frontend": frontend or EnhanceFrontend(), "model": Pooled()}
    checkpointer = None if checkpoints is None else Checkpointer(checkpoints, modules)
    return kind(modules, partial(torch.optim.SGD, lr=0.1), hparams, {"device": "cpu"}, checkpointer)


def fit(brain: Any, data: DynamicItemDataset, epochs: Any = (1,)) -> Any:
    loader = {"batch_size": 3}
    brain.fit(epochs, data, data, progressbar=False, train_loader_kwargs=loader, valid_loader_kwargs=loader)
    return brain


def evaluate(brain: Any, data: DynamicItemDataset) -> float:
    return float(brain.evaluate(data, progressbar=False, test_loader_kwargs={"batch_size": 3}))


@pytest.fixture(scope="module")
def given_and_enhanced(data: DynamicItemDataset) -> tuple[Tensor, Tensor]:
    """The one batch of the data set, before and after."""
    sig = sb.dataio.batch.PaddedBatch(list(data)).sig
    return sig.data, EnhanceFrontend().eval()(*sig)


@pytest.mark.parametrize("kind", [Before, Behind])
def test_each_stage_sees_the_enhanced_batch(
    kind: Any, data: DynamicItemDataset, given_and_enhanced: tuple[Tensor, Tensor]
) -> None:
    given, enhanced = given_and_enhanced
    brain = fit(make(kind), data)
    evaluate(brain, data)
    for stage in sb.Stage:
        (seen,) = brain.seen[stage.name]
        assert torch.equal(seen, enhanced), f"once in {stage}"
    assert len(brain.untouched) == 3
    assert all(torch.equal(sig, given) for sig in brain.untouched)
    assert torch.equal(brain.enhanced.data, enhanced)
    assert brain.epochs == [("TRAIN", 1), ("VALID", 1), ("TEST", None)]


def test_a_batch_that_is_used_again_is_not_enhanced_twice(
    data: DynamicItemDataset, given_and_enhanced: tuple[Tensor, Tensor]
) -> None:
    brain = make()
    batch = sb.dataio.batch.PaddedBatch(list(data))
    for _ in range(2):
        brain.evaluate_batch(batch, sb.Stage.TEST)
    assert all(torch.equal(seen, given_and_enhanced[1]) for seen in brain.seen["TEST"])


def test_stages_can_be_chosen(data: DynamicItemDataset, given_and_enhanced: tuple[Tensor, Tensor]) -> None:
    given, enhanced = given_and_enhanced
    brain = fit(make(frontend_stages=["train", "test"]), data)
    evaluate(brain, data)
    assert torch.equal(brain.seen["TRAIN"][0], enhanced)
    assert torch.equal(brain.seen["VALID"][0], given)
    assert torch.equal(brain.seen["TEST"][0], enhanced)


def test_another_item_can_be_enhanced(given_and_enhanced: tuple[Tensor, Tensor], data: DynamicItemDataset) -> None:
    given, enhanced = given_and_enhanced
    items = [{**item, "noisy": item["sig"]} for item in data]
    brain = make(frontend_input="noisy")
    brain.evaluate_batch(sb.dataio.batch.PaddedBatch(items), sb.Stage.TEST)
    assert torch.equal(brain.seen["TEST"][0], given)
    assert torch.equal(brain.enhanced.data, enhanced)


def test_strength_is_random_in_training_only(
    data: DynamicItemDataset, given_and_enhanced: tuple[Tensor, Tensor]
) -> None:
    _, enhanced = given_and_enhanced
    brain = fit(make(frontend=EnhanceFrontend(train_strength=[0.1, 0.6])), data, epochs=(1, 2))
    first, second = brain.seen["TRAIN"]
    assert not torch.equal(first, second)
    assert all(torch.equal(seen, enhanced) for seen in brain.seen["VALID"])


def weights(brain: Any) -> dict[str, Tensor]:
    return copy.deepcopy(brain.frontend.state_dict())


def changed(brain: Any, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, before[name]) for name, tensor in brain.frontend.state_dict().items())


def test_a_frozen_front_end_stays_as_it_is(data: DynamicItemDataset) -> None:
    brain = make()
    before = weights(brain)
    assert not changed(fit(brain, data), before)


def test_it_learns_through_the_recogniser(data: DynamicItemDataset) -> None:
    brain = make(frontend=EnhanceFrontend(trainable=True))
    before = weights(brain)
    first = evaluate(brain, data)
    fit(brain, data, epochs=range(1, 5))
    assert changed(brain, before)
    assert evaluate(brain, data) < first
    assert brain.seen["TRAIN"][0].requires_grad


def test_it_is_trained_in_the_chosen_epochs(data: DynamicItemDataset) -> None:
    brain = make(frontend_train_epochs=[2, 3])
    outcomes = []
    for epoch in range(1, 6):
        before = weights(brain)
        fit(brain, data, epochs=(epoch,))
        outcomes.append((changed(brain, before), brain.frontend.trainable))
    assert outcomes == [(False, False), (True, True), (True, True), (False, False), (False, False)]
    brain = make(frontend_train_epochs=[2, None])
    before = weights(brain)
    assert not changed(fit(brain, data, epochs=(1,)), before)
    assert changed(fit(brain, data, epochs=(2, 3, 4)), before)


def test_its_own_learning_rate(data: DynamicItemDataset, tmp_path: Path) -> None:
    own = partial(torch.optim.Adam, lr=1e-5)
    brain = make(
        frontend=EnhanceFrontend(trainable=True),
        checkpoints=tmp_path,
        frontend_opt_class=own,
        frontend_train_epochs=[2, None],
    )
    before = weights(brain)
    fit(brain, data, epochs=(1,))
    main, frontend = brain.optimizers_dict["opt_class"], brain.optimizers_dict["frontend"]
    assert {id(p) for group in main.param_groups for p in group["params"]} == {
        id(p) for p in brain.modules.model.parameters()
    }
    assert frontend.param_groups[0]["lr"] == 1e-5
    assert list(brain.freeze_optimizers(brain.optimizers_dict)) == ["opt_class"]
    assert not changed(brain, before)
    fit(brain, data, epochs=(2,))
    assert list(brain.freeze_optimizers(brain.optimizers_dict)) == ["opt_class", "frontend"]
    largest = max((tensor - before[name]).abs().max() for name, tensor in brain.frontend.state_dict().items())
    assert 0 < largest < 1.1e-5, "a step of Adam is as long as its learning rate"

    brain.checkpointer.save_checkpoint()
    resumed = make(frontend=EnhanceFrontend(trainable=True), checkpoints=tmp_path, frontend_opt_class=own)
    resumed.on_fit_start()
    assert not changed(resumed, weights(brain))
    assert resumed.optimizers_dict["frontend"].state_dict()["state"], "the moments of Adam are back"


def test_only_the_front_end_is_trained(data: DynamicItemDataset) -> None:
    modules = {"frontend": EnhanceFrontend(trainable=True), "model": Pooled()}
    hparams = {"frontend_opt_class": partial(torch.optim.SGD, lr=0.1)}
    brain: Any = Before(modules, None, hparams, {"device": "cpu"})
    before, recogniser = weights(brain), copy.deepcopy(brain.modules.model.state_dict())
    assert changed(fit(brain, data), before)
    assert all(torch.equal(tensor, recogniser[name]) for name, tensor in brain.modules.model.state_dict().items())


@pytest.mark.parametrize(
    ("modules", "hparams", "message"),
    [
        (["model"], {}, r"expected one EnhanceFrontend among the modules of the Brain, got \[\]"),
        (["a", "b"], {}, r"got \['a', 'b'\]"),
        (["a"], {"frontend_stages": ["train", "dev"]}, r"frontend_stages: expected a list out of"),
        (["a"], {"frontend_stages": "train"}, r"frontend_stages: expected a list out of"),
        (["a"], {"frontend_train_epochs": [1]}, r"frontend_train_epochs: expected \[first, last\]"),
        (["a"], {"frontend_train_epochs": ["1", None]}, r"frontend_train_epochs: expected \[first, last\]"),
    ],
)
def test_what_does_not_fit_is_refused(modules: list[str], hparams: dict[str, Any], message: str) -> None:
    made = {name: nn.Linear(1, 1) if name == "model" else EnhanceFrontend() for name in modules}
    with pytest.raises(ConfigError, match=message):
        Before(made, None, hparams, {"device": "cpu"})


@pytest.mark.parametrize(
    "bases", [(sb.Brain, FrontendMixin), (Recipe, FrontendMixin), (Recipe, sb.Brain, FrontendMixin)]
)
def test_a_brain_before_the_mixin_is_refused_where_the_class_is_defined(bases: tuple[type, ...]) -> None:
    names = ", ".join(base.__name__ for base in bases)
    right = ", ".join(["FrontendMixin", *(base.__name__ for base in bases[:-1])])
    with pytest.raises(ConfigError) as error:
        type("ASR", bases, {})
    assert f"expected FrontendMixin before the Brain, class ASR({right}), got class ASR({names})" in str(error.value)


def test_a_mixin_of_a_mixin_may_be_defined_without_a_brain() -> None:
    own: Any = type("Own", (FrontendMixin,), {})
    assert issubclass(type("ASR", (own, sb.Brain), {}), sb.Brain)
    with pytest.raises(ConfigError, match=r"got class ASR\(Brain, Own\)"):
        type("ASR", (sb.Brain, own), {})
