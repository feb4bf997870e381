"""`ray_runner`: enhances the items of a corpus in actors of Ray Data, which schedules, retries and scales."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtcrn_frontend.adapters.ray.cluster import connect, cpus, imported_ray, prepare_data
from gtcrn_frontend.config import EnhancerConfig
from gtcrn_frontend.corpus.enhance_item import enhance_item
from gtcrn_frontend.corpus.items import Item, Outcome, Problem, Runner
from gtcrn_frontend.corpus.shards import is_shard
from gtcrn_frontend.corpus.storage import is_url
from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ModelError

_MOST_PER_BLOCK = 64  # so that a task of Ray, which costs some 10 ms, is seconds of work
_BLOCKS_PER_WORKER = 16  # at least, so that all workers end at about the same time
_RETRIES = 3  # of a block whose worker died

Rows = dict[str, npt.NDArray[Any]]


class EnhanceItems:
    """Enhances the files and shards of a batch, in an actor that keeps the model loaded."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._config = EnhancerConfig.from_dict(settings)
        self._loaded = Enhancer.from_config(self._config)

    def __call__(self, batch: Rows) -> Rows:
        """Returns number and outcome, as JSON, of each item."""
        items = map(Item, map(str, batch["source"]), map(str, batch["output"]))
        outcomes = [json.dumps(dataclasses.asdict(enhance_item(item, self._config))) for item in items]
        return {"number": batch["number"], "outcome": np.array(outcomes, object)}


def ray_runner(workers: int | None = None, address: str | None = None) -> Runner:
    """Returns a runner for `gtcrn_frontend.corpus.enhance_corpus` on a Ray cluster.

    An item whose worker dies is enhanced again by another one; an item that ends its worker each time is given up,
    without the others that were processed together with it. Every machine needs this package, and has to see source
    and output under the same paths or URLs.

    Args:
        workers: actors of one CPU each; None is as many as the cluster has CPUs.
        address: of the cluster; None is the one that the program is connected to, or that `RAY_ADDRESS` names, or
            else a new one on this machine.

    Raises:
        ImportError: Ray is not installed.
    """
    ray = imported_ray()

    def run(items: Sequence[Item], config: EnhancerConfig) -> Generator[Outcome]:
        connect(address)
        count = workers or cpus()
        waiting = dict(enumerate(items))
        for is_last in (False, True):
            per_block = 1 if is_last else _items_per_block(items, count)
            try:
                for number, outcome in _outcomes(ray, waiting, config, count, per_block):
                    if number in waiting:
                        yield _renamed(outcome, waiting.pop(number))
            except ray.exceptions.RayError as error:
                raise ModelError(f"Ray cannot go on: {error}") from error
            if not waiting:
                return
        for item in waiting.values():
            yield Outcome(item.source, failed=True, problems=(Problem(item.source, "ended its worker each time"),))

    return run


def _outcomes(
    ray: Any, items: Mapping[int, Item], config: EnhancerConfig, workers: int, per_block: int
) -> Iterable[tuple[int, Outcome]]:
    """Number and outcome of the items, without those whose worker died too often."""
    prepare_data()
    rows = [
        {"number": number, "source": _everywhere(item.source), "output": _everywhere(item.output)}
        for number, item in items.items()
    ]
    # Tasks that wait for an actor fail together with the one that ends it: the last time, none waits.
    pool = ray.data.ActorPoolStrategy(
        size=min(workers, len(rows)), max_tasks_in_flight_per_actor=1 if per_block == 1 else None
    )
    blocks = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / per_block))
    with warnings.catch_warnings():  # Ray has no other way to limit retries, and no longer wants this one
        warnings.simplefilter("ignore", DeprecationWarning)
        enhanced = blocks.map_batches(
            EnhanceItems,
            fn_constructor_kwargs={"settings": config.to_dict()},
            batch_size=None,
            num_cpus=1,
            compute=pool,
            max_task_retries=_RETRIES,
        )
    for row in enhanced.iter_rows():
        fields = json.loads(row["outcome"])
        fields["problems"] = tuple(Problem(*problem) for problem in fields["problems"])
        yield row["number"], Outcome(**fields)


def _items_per_block(items: Sequence[Item], workers: int) -> int:
    if any(is_shard(item.source) for item in items):
        return 1
    return min(max(1, len(items) // (workers * _BLOCKS_PER_WORKER)), _MOST_PER_BLOCK)


def _renamed(outcome: Outcome, item: Item) -> Outcome:
    """An outcome with the paths that the caller knows."""
    problems = (Problem(name.replace(outcome.source, item.source, 1), reason) for name, reason in outcome.problems)
    return dataclasses.replace(outcome, source=item.source, problems=tuple(problems))


def _everywhere(path: str) -> str:
    """A path as it is in other working directories, too."""
    return path if is_url(path) else str(Path(path).absolute())
