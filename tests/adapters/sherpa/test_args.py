import argparse

import pytest

from gtcrn_frontend import ConfigError, EnhancerConfig
from gtcrn_frontend.adapters.sherpa import with_frontend
from gtcrn_frontend.adapters.sherpa.args import add_frontend_args, frontend_from_args

# What the Python examples of sherpa-onnx for recognition and detection call their options.
_NAMES = """
    --audio --blank-penalty --bpe-vocab --certificate --debug --decoder --decoding-method --device-name --doc-root
    --encoder --feat-dim --feature-dim --first-decoder --first-encoder --first-joiner --first-tokens --graph --hotwords
    --hotwords-file --hotwords-score --hr-lexicon --hr-rule-fsts --joiner --keywords-file --keywords-score
    --keywords-threshold --language --lm --lm-scale --lodr-fst --lodr-scale --max-active-connections
    --max-active-paths --max-batch-size --max-message-size --max-queue-size --max-wait-ms --model --model-type
    --modeling-unit --moonshine-encoder --moonshine-preprocessor --nemo-ctc --nn-pool-size --num-active-paths
    --num-threads --num-trailing-blanks --paraformer --paraformer-decoder --paraformer-encoder --port --provider
    --rule1-min-trailing-silence --rule2-min-trailing-silence --rule3-min-utterance-length --sample-rate
    --samples-per-message --second-decoder --second-encoder --second-joiner --second-tokens --seconds-per-message
    --sense-voice --server-addr --server-port --silero-vad-model --speaker-file --tdnn-model --telespeech-ctc
    --ten-vad-model --threshold --tokens --use-endpoint --wenet-ctc --wenet-ctc-chunk-size --whisper-decoder
    --whisper-encoder --whisper-language --whisper-tail-paddings --whisper-task --zipformer2-ctc
"""
EXAMPLES = _NAMES.split()


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # as the examples do
    for option in EXAMPLES:
        parser.add_argument(option)
    add_frontend_args(parser)
    return parser


def test_without_options_the_settings_are_the_defaults(parser):
    assert frontend_from_args(parser.parse_args([])) == EnhancerConfig()


def test_options_are_settings(parser, online_tones):
    given = "--frontend-model gtcrn-asr --frontend-engine onnx --frontend-strength 0.5 --frontend-num-threads 2"
    config = frontend_from_args(parser.parse_args([*given.split(), "--frontend-providers", "CPUExecutionProvider"]))
    assert config == EnhancerConfig(engine="onnx", strength=0.5, num_threads=2, providers=["CPUExecutionProvider"])
    assert frontend_from_args(parser.parse_args(["--frontend-bypass"])).bypass
    assert frontend_from_args(parser.parse_args(["--frontend-max-attenuation-db", "12"])).max_attenuation_db == 12
    assert with_frontend(online_tones, config).create_stream().strength == 0.5


def test_options_of_the_examples_keep_their_meaning(parser):
    for option in EXAMPLES:
        args = parser.parse_args([option, "its value"])
        assert getattr(args, option.removeprefix("--").replace("-", "_")) == "its value"
        assert frontend_from_args(args) == EnhancerConfig()


def test_what_streams_decide_for_themselves_is_no_option(parser, capsys):
    for option in ("--frontend-sample-rate", "--frontend-channels"):
        with pytest.raises(SystemExit, match="2"):
            parser.parse_args([option, "1"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_a_value_out_of_range_is_named(parser):
    with pytest.raises(ConfigError, match=r"--frontend-.*strength: expected .* got 2\.0"):
        frontend_from_args(parser.parse_args(["--frontend-strength", "2"]))


def test_help_shows_the_options(parser):
    assert "--frontend-strength" in parser.format_help()
