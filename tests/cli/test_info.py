from gtcrn_frontend.cli.main import main
from gtcrn_frontend.native.binding import chosen_instruction_set, instruction_sets, why_absent


def test_says_what_runs_and_what_it_costs(capsys):
    assert main(["info"]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.replace("engine ", "engine-").splitlines())
    assert facts["engine-onnx"] == "present"
    if why_absent():
        assert facts["engine-native"] == why_absent()
        assert facts["engine-auto"].startswith("onnx: ")
    else:
        assert facts["engine-native"] == f"present: {', '.join(instruction_sets())}"
        assert facts["engine-auto"] == f"native: C, {chosen_instruction_set()}"
    assert facts["parameters"].startswith("48,245 ")
    assert facts["MAC/s"].startswith("33.0 M")
    assert "16000 Hz" in facts["transform"]
    assert facts["latency"] == "32 ms at 16000 Hz"


def test_a_network_whose_weights_are_to_be_supplied_has_a_cost(capsys):
    assert main(["info", "lite-rtse"]) == 0
    printed = capsys.readouterr().out
    assert "weights to be supplied: no checkpoint of it is known" in printed
    assert "1,559,245 (" in printed


def test_the_latency_of_a_network_in_segments_is_the_default_of_a_setting(capsys):
    assert main(["info", "random:wavecrn"]) == 0
    assert "1000 ms at 16000 Hz, or segment_latency_ms" in capsys.readouterr().out


def test_an_unknown_model_is_an_error(capsys):
    assert main(["info", "nothing"]) == 1
    assert "nothing" in capsys.readouterr().err
