"""Makes what README.md shows of `examples/noisy.flac`: the enhanced file, the picture, and the outputs of the notebook.

    python examples/make_demo.py

Run it when the default model has changed. Needs the extras `[plot,evaluate]` and the packages nbformat, nbclient and
ipykernel (extra `[test]`).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOISY = ROOT / "examples/noisy.flac"
ENHANCED = ROOT / "examples/enhanced.flac"
PICTURE = ROOT / "docs/images/before_after.png"
NOTEBOOK = ROOT / "examples/hear_see_measure.ipynb"
WIDTH = 1000  # pixels
COLOURS = 128  # a palette of so many keeps the file at a fifth of its size
AUDIO_TYPES = ("text/html", "audio/")  # players with the samples inside of them: the notebook makes them when it runs


def make_audio_and_picture() -> None:
    """Writes both with the project's own command."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        command = [sys.executable, "-m", "gtcrn_frontend.cli.main", "enhance", NOISY, "-o", ENHANCED, "--force"]
        subprocess.run([*command, "--plot", picture], check=True)
        image = Image.open(picture).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


def run_notebook() -> None:
    """Runs the notebook and keeps its text and pictures."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            for kind in [kind for kind in output.get("data", ()) if kind.startswith(AUDIO_TYPES)]:
                del output["data"][kind]
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    make_audio_and_picture()
    run_notebook()
