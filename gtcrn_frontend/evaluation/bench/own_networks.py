"""The networks of this package that can be measured here."""

from __future__ import annotations

import functools

from gtcrn_frontend.enhancer import Enhancer
from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.bench.streams import BenchEngine, EnhancerStreams
from gtcrn_frontend.weights.model import installed_registry
from gtcrn_frontend.weights.networks import NETWORKS, find_network
from gtcrn_frontend.weights.random import PREFIX

_MAX_STREAMS = 200


def own_networks() -> tuple[list[BenchEngine], dict[str, str]]:
    """Returns each network in its fastest engine here, and by name why others are left out.

    A network runs the first of its registered models that is present; nothing is downloaded. Random weights stand in
    where users have to supply them, as they cost the same. Networks for torch only are left out: they take seconds of
    computing time per second of audio.
    """
    engines, left_out = [], {}
    for network in NETWORKS:
        try:
            engines.append(_own_network(network))
        except ModelError as error:
            left_out[network] = str(error)
    return engines, left_out


def _own_network(network: str) -> BenchEngine:
    model = _model_of(network)
    if find_network(network).engines == ("torch",):
        raise ModelError(f"it runs in torch only and takes long: gtcrn-frontend bench --model {model} --streams 1")
    enhancer = Enhancer(model)
    return BenchEngine(
        name=network,
        network=network,
        engine=enhancer.engine,
        runs="random weights" if model.startswith(PREFIX) else model,
        make=functools.partial(EnhancerStreams, enhancer.config),
        sample_rate=enhancer.sample_rate,
        hop_length=enhancer.hop_length,
        max_streams=_MAX_STREAMS,
        latency_ms=enhancer.latency_ms,
    )


def _model_of(network: str) -> str:
    """Name of the model to measure a network with; `ModelError` if there is a model of it, but not here."""
    registry = installed_registry()
    models = [model for model in registry.models.values() if model.network == network and not model.supply]
    for model in models:
        if registry.location(model.name) in ("embedded", "cached"):
            return model.name
    if models:
        name = models[0].name
        raise ModelError(f"{name} is {registry.location(name)}: gtcrn-frontend models download {name}")
    return f"{PREFIX}{network}"
