import onnx
import pytest

from gtcrn_frontend import Enhancer
from gtcrn_frontend.cli.main import main


@pytest.mark.parametrize(
    ("layout", "suffix", "options", "said"),
    [
        ("onnx", ".onnx", ["--strength", "0.25"], "strength 0.25"),
        ("sherpa-onnx", ".onnx", ["--strength", "0.25"], "strength 0.25"),
        ("sherpa-onnx", ".onnx", [], "strength 1"),
        ("safetensors", ".safetensors", [], "as safetensors, "),
    ],
)
def test_writes_the_file_and_one_line(random_checkpoint, tmp_path, capsys, layout, suffix, options, said):
    output = tmp_path / f"out{suffix}"
    assert main(["export", str(random_checkpoint), "--layout", layout, "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{output}: random.safetensors as {layout}")
    assert said in lines[0]
    assert output.stat().st_size > 100_000


def test_the_strength_goes_into_the_graph(random_checkpoint, tmp_path):
    output = tmp_path / "half.onnx"
    assert (
        main(["export", str(random_checkpoint), "--layout", "sherpa-onnx", "--strength", "0.5", "-o", str(output)]) == 0
    )
    assert {entry.key: entry.value for entry in onnx.load(output).metadata_props}["comment2"] == "strength 0.5"
    assert Enhancer(output).engine == "onnx"


def test_errors_are_one_line(random_checkpoint, tmp_path, capsys):
    output = tmp_path / "out.onnx"
    arguments = ["export", str(random_checkpoint), "--layout", "onnx", "-o", str(output)]
    assert main(arguments) == 0
    for wrong, expected in (
        (arguments, "--force"),
        ([*arguments, "--force", "--strength", "2"], "from 0 to 1"),
        (["export", str(output), *arguments[2:], "--force"], "got an ONNX graph"),
        (["export", "gtcrn-asx", *arguments[2:], "--force"], "did you mean 'gtcrn-asr'"),
        (
            ["export", str(random_checkpoint), "--layout", "safetensors", "--strength", "0.5", "-o", "a.safetensors"],
            "strength",
        ),
    ):
        capsys.readouterr()
        assert main(wrong) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        assert expected in captured.err
    assert main([*arguments, "--force"]) == 0


@pytest.mark.parametrize("missing", ["--layout", "-o"])
def test_layout_and_output_are_required(tmp_path, capsys, missing):
    options = {"--layout": "onnx", "-o": str(tmp_path / "a.onnx")}
    given = [word for key, value in options.items() if key != missing for word in (key, value)]
    with pytest.raises(SystemExit, match="2"):
        main(["export", "gtcrn-asr", *given])
    assert missing in capsys.readouterr().err
