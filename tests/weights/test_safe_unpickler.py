"""The interpreter of torch's pickles: reads what torch writes, refuses the rest, and never runs, imports or crashes."""

import collections
import contextlib
import io
import os
import pickle
import sys
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights.safe_unpickler import Storage, Tensor, read_pickle


def saved_by_torch(value, protocol=2):
    """The pickle inside of the file that `torch.save` writes."""
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol)
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_come_back_as_they_were_pickled(protocol):
    values = {
        "numbers": [0, 1, -1, 255, 65536, 2**31, -(2**40), 2.5, float("inf")],
        "others": (None, True, False, "", "ü", (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "nested": {"list": [[], [[]]], 7: {}, None: 1, 2.5: 2},
        "long": "x" * 1000,
        "many": list(range(3000)),
        "ordered": collections.OrderedDict(a=1, b=[2]),
    }
    if protocol > 2:
        values["bytes"] = b"bytes"
    values["again"] = values["numbers"]
    read = read_pickle(pickle.dumps(values, protocol))
    assert read == values
    assert read["again"] is read["numbers"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_come_as_descriptions(protocol):
    tensor = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    read = read_pickle(saved_by_torch({"a": tensor, "b": tensor[1:, 2::2].t(), "c": tensor.half()}, protocol))
    assert all(isinstance(value, Tensor) and isinstance(value.storage, Storage) for value in read.values())
    assert (read["a"].offset, read["a"].size, read["a"].stride) == (0, (4, 6), (6, 1))
    assert (read["b"].offset, read["b"].size, read["b"].stride) == (8, (2, 3), (2, 6))
    assert (read["a"].storage.kind, read["a"].storage.count) == ("DoubleStorage", 24)
    assert read["a"].storage.key == read["b"].storage.key != read["c"].storage.key
    assert read["c"].storage.kind == "HalfStorage"


def test_modules_optimizers_and_random_states_of_a_training_run_can_be_read():
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    content = {
        "model": module.state_dict(),
        "parameters": dict(module.named_parameters()),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "half": torch.zeros(2, dtype=torch.bfloat16),
        "mask": torch.zeros(2, dtype=torch.bool),
        "epoch": 3,
    }
    read = read_pickle(saved_by_torch(content))
    assert set(read["model"]) == set(module.state_dict())
    assert read["parameters"]["0.weight"].size == (3, 2, 1, 1)
    assert read["epoch"] == 3


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda marker: Calls(os.system, f"touch {marker}"), id="os.system"),
        pytest.param(lambda marker: Calls(eval, f"open({str(marker)!r}, 'w')"), id="eval"),
        pytest.param(lambda marker: Calls(exec, f"open({str(marker)!r}, 'w')"), id="exec"),
        pytest.param(lambda marker: Calls(open, str(marker), "w"), id="open"),
        pytest.param(lambda marker: Calls(getattr, Calls(__import__, "os"), "getcwd"), id="nested"),
        pytest.param(lambda marker: Calls(torch.load, str(marker)), id="torch.load"),
        pytest.param(lambda marker: Calls(pickle.loads, b"."), id="pickle.loads"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", [lambda c: c, lambda c: {"w": c}, lambda c: [(1, c)], lambda c: {"model": {c: 1}}])
def test_code_is_refused_by_name_and_not_run(call, place, protocol, tmp_path):
    marker = tmp_path / "marker"
    with pytest.raises(ModelError, match=r"refused: the checkpoint imports '[\w.]+'"):
        read_pickle(pickle.dumps(place(call(marker)), protocol))
    assert not marker.exists()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"cthis_module\nname\n.", id="GLOBAL"),
        pytest.param(b"\x80\x04\x8c\x0bthis_module\x8c\x04name\x93.", id="STACK_GLOBAL"),
        pytest.param(b"\x80\x04K\x01K\x02\x93.", id="STACK_GLOBAL of numbers"),
        pytest.param(
            b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.", id="attribute of an allowed name"
        ),
        pytest.param(b"\x80\x04\x8c\x17collections.OrderedDict\x8c\x08__init__\x93.", id="module of an allowed name"),
        pytest.param(b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", id="dotted GLOBAL"),
        pytest.param(b"ctorch\nFloatStorage.from_file\n.", id="method of a storage"),
        pytest.param(b"cbuiltins\neval\n(S'1'\ntR.", id="REDUCE"),
        pytest.param(b"(S'1'\nithis_module\nname\n.", id="INST"),
        pytest.param(b"(cthis_module\nname\no.", id="OBJ"),
        pytest.param(b"\x80\x02ccollections\nOrderedDict\n)\x81.", id="NEWOBJ"),
        pytest.param(b"\x80\x04ccollections\nOrderedDict\n)}\x92.", id="NEWOBJ_EX"),
        pytest.param(b"\x80\x02\x82\x01.", id="EXT1"),
        pytest.param(b"Pthis_module\n.", id="PERSID"),
        pytest.param(b"\x80\x05\x97.", id="NEXT_BUFFER"),
        pytest.param(b"\x80\x04\x8f(K\x01\x90.", id="set"),
    ],
)
def test_other_ways_to_code_or_objects_are_refused(data):
    before = set(sys.modules)
    with pytest.raises(ModelError, match="refused"):
        read_pickle(data)
    assert not [name for name in set(sys.modules) - before if "this_module" in name]


ORDERED_DICT = b"ccollections\nOrderedDict\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ORDERED_DICT + b"K\x01R.", id="argument that is no tuple"),
        pytest.param(ORDERED_DICT + b"]\x85R.", id="ordered dictionary with arguments"),
        pytest.param(b"\x80\x02}(K\x01K\x02u)R.", id="call of a dictionary"),
        pytest.param(ORDERED_DICT + b"}b.", id="BUILD of a name"),
        pytest.param(b"]}b.", id="BUILD of a list"),
        pytest.param(b"}](K\x01eK\x01s.", id="list as key"),
        pytest.param(b"}K\x01\x85K\x01s.", id="tuple as key"),
        pytest.param(b"}" + ORDERED_DICT + b"K\x01s.", id="name as key"),
        pytest.param(b"]K\x01K\x02s.", id="item of a list"),
        pytest.param(b"}K\x01a.", id="APPEND to a dictionary"),
        pytest.param(b"K\x07Q.", id="number as storage"),
        pytest.param(
            b"(X\x07\x00\x00\x00storage" + ORDERED_DICT + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ.",
            id="not a type",
        ),
        pytest.param(b"ctorch._utils\n_rebuild_tensor_v2\n)R.", id="tensor of nothing"),
        pytest.param(b"ctorch._utils\n_rebuild_parameter\nK\x01\x85R.", id="parameter of a number"),
    ],
)
def test_what_torch_never_writes_is_malformed(data):
    with pytest.raises(ModelError, match="malformed"):
        read_pickle(data)


BREAKING_OFF = (
    *(
        b"",
        b".",
        b"\x80\x02",
        b"K\x01",
        b"t.",
        b"\x85.",
        b"K\x01\x86.",
        b"h\x05.",
        b"(K\x01u.",
        b"}(K\x01u.",
        b"R.",
        b"\xff.",
    ),
    b"X\xff\xff\xff\x7fabc.",  # a text longer than the file
    b"\x8d" + b"\xff" * 8 + b".",  # a text longer than the memory
    b"X\x01\x00\x00\x00\xff.",  # a text that is none
)


@pytest.mark.parametrize("data", BREAKING_OFF)
def test_damaged_pickles(data):
    with pytest.raises(ModelError):
        read_pickle(data)


def rebuilt(size, stride, offset=b"K\x00"):
    """A tensor with a storage of 4 floats, and these opcodes as its layout."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + size + stride + b"\x89Ntr."[:3] + b"R."


def test_the_layouts_below_differ_from_a_good_one_only_in_what_they_are_about():
    tensor = read_pickle(rebuilt(b"K\x02\x85", b"K\x01\x85"))
    assert (tensor.offset, tensor.size, tensor.stride) == (0, (2,), (1,))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        pytest.param(b"J\xff\xff\xff\xff\x85", b"K\x01\x85", b"K\x00", id="negative size"),
        pytest.param(b"K\x02\x85", b"J\xff\xff\xff\xff\x85", b"K\x00", id="negative stride"),
        pytest.param(b"K\x02\x85", b"K\x01\x85", b"J\xff\xff\xff\xff", id="negative offset"),
        pytest.param(b"K\x02K\x02\x86", b"K\x01\x85", b"K\x00", id="fewer strides than sizes"),
        pytest.param(b"K\x02\x85", b"]", b"K\x00", id="strides in a list"),
        pytest.param(b"N\x85", b"K\x01\x85", b"K\x00", id="no size"),
        pytest.param(b"G@\x00\x00\x00\x00\x00\x00\x00\x85", b"K\x01\x85", b"K\x00", id="fraction as size"),
        pytest.param(b"\x8a\x10" + b"\xff" * 15 + b"\x7f\x85", b"K\x01\x85", b"K\x00", id="size beyond any memory"),
        pytest.param(b"(" + b"K\x01" * 65 + b"t", b"(" + b"K\x01" * 65 + b"t", b"K\x00", id="65 dimensions"),
    ],
)
def test_impossible_layouts_are_refused(size, stride, offset):
    with pytest.raises(ModelError, match="malformed"):
        read_pickle(rebuilt(size, stride, offset))


@pytest.mark.parametrize("wrap", [b"\x85", b"q\x00h\x00\x86"], ids=["deep", "deep and exponential"])
def test_a_nested_key_neither_ends_nor_stops_the_process(wrap):
    with pytest.raises(ModelError, match=r"malformed tuple|pickle opcodes"):
        read_pickle(b"\x80\x02}" + b")" + wrap * 200_000 + b"Ns.")


def test_a_value_without_end_is_not_put_into_a_message():
    doubling = b"\x80\x02](K\x01K\x02e" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(60))
    with pytest.raises(ModelError) as caught:
        read_pickle(doubling + b"Q.")
    assert len(str(caught.value)) < 200


ALLOWED = (b"collections OrderedDict", b"torch._utils _rebuild_tensor_v2", b"torch FloatStorage", b"os system")
OPCODES = st.one_of(
    st.sampled_from([bytes([code]) for code in b"0123(.})]tldeusabNRQ\x81\x85\x86\x87\x88\x89\x90\x91\x92\x93\x94"]),
    st.builds(lambda n: b"K" + bytes([n]), st.integers(0, 255)),
    st.builds(lambda n: b"h" + bytes([n]), st.integers(0, 3)),
    st.builds(lambda n: b"q" + bytes([n]), st.integers(0, 3)),
    st.builds(lambda text: b"X" + len(text).to_bytes(4, "little") + text, st.sampled_from([b"storage", b"0", b""])),
    st.builds(lambda name: b"c" + name.replace(b" ", b"\n") + b"\n", st.sampled_from(ALLOWED)),
)


@settings(max_examples=400)
@given(program=st.lists(OPCODES, max_size=40))
def test_any_program_of_opcodes_ends_in_a_value_or_a_model_error(program):
    with contextlib.suppress(ModelError):
        read_pickle(b"\x80\x02" + b"".join(program) + b".")


GOOD = saved_by_torch({"model": torch.nn.BatchNorm2d(3).state_dict(), "epoch": 1})


@settings(max_examples=300)
@given(position=st.integers(0, len(GOOD) - 1), replacement=st.binary(max_size=3), cut=st.integers(0, 3))
def test_a_damaged_pickle_is_read_or_a_model_error(position, replacement, cut):
    with contextlib.suppress(ModelError):
        read_pickle(GOOD[:position] + replacement + GOOD[position + cut :])


def test_millions_of_opcodes_are_refused_at_once():
    with pytest.raises(ModelError, match=r"at most .* pickle opcodes"):
        read_pickle(b"\x80\x02" + b"}" * (1 << 20) + b".")
