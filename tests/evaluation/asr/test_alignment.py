import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtcrn_frontend.evaluation.asr.alignment import Edit, edits
from gtcrn_frontend.evaluation.asr.wer import count_errors

TEXTS = st.lists(st.sampled_from(["one", "two", "three"]), max_size=6).map(" ".join)


def test_edits_are_found() -> None:
    assert edits("one two three four", "one too three four five") == [
        Edit("equal", "one", "one"),
        Edit("substitute", "two", "too"),
        Edit("equal", "three four", "three four"),
        Edit("insert", "", "five"),
    ]
    assert edits("one two three", "one three")[1] == Edit("delete", "two", "")


@pytest.mark.parametrize("unit", ["word", "character"])
@given(said=TEXTS, heard=TEXTS)
def test_edits_put_both_texts_together_and_are_as_many_as_counted(unit: str, said: str, heard: str) -> None:
    found, joint = edits(said, heard, unit), " " if unit == "word" else ""
    assert joint.join(edit.reference for edit in found if edit.reference) == said
    assert joint.join(edit.hypothesis for edit in found if edit.hypothesis) == heard
    size = (lambda text: len(text.split())) if unit == "word" else len
    wrong = sum(max(size(edit.reference), size(edit.hypothesis)) for edit in found if edit.kind != "equal")
    assert wrong == count_errors(said, heard, unit).errors
