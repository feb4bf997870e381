"""Checkpoint files: what torch and safetensors write comes back bit by bit, everything else is a `ModelError`."""

import collections
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.weights import checkpoint
from gtcrn_frontend.weights.checkpoint import read_checkpoint, write_safetensors

RELEASED = ("dns3", "dns3_stream", "vctk")


def saved(value, path, **options):
    torch.save(value, path, **options)
    return path


def assert_equal(arrays, tensors):
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach().numpy()
        assert (arrays[name].shape, arrays[name].dtype) == (expected.shape, expected.dtype), name
        np.testing.assert_array_equal(arrays[name], expected)


@pytest.fixture(scope="module")
def state_dict():
    """A small state dict with what networks hold: weights, statistics, a counter without dimensions."""
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, (1, 5)), torch.nn.BatchNorm2d(3), torch.nn.GRU(4, 2))
    return module.state_dict()


# What torch writes


@pytest.mark.parametrize("name", RELEASED)
def test_released_checkpoints_are_read_as_torch_reads_them(shared, name):
    path = shared / f"reference/gtcrn/model_trained_on_{name}.tar"
    assert_equal(read_checkpoint(path), torch.load(path, weights_only=True, map_location="cpu")["model"])


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_state_dict"])
def test_a_state_dict_of_a_module_itself_or_under_a_usual_key(state_dict, key, tmp_path):
    content = state_dict if key is None else {"epoch": 7, key: state_dict, "optimizer": {"state": {0: {"step": 1}}}}
    assert_equal(read_checkpoint(saved(content, tmp_path / "a.tar")), state_dict)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol(state_dict, protocol, tmp_path):
    assert_equal(read_checkpoint(saved(state_dict, tmp_path / "a.pt", pickle_protocol=protocol)), state_dict)


def test_plain_dictionaries_and_parameters(state_dict, tmp_path):
    parameters = {name: torch.nn.Parameter(t, requires_grad=False) for name, t in state_dict.items()}
    assert_equal(read_checkpoint(saved(parameters, tmp_path / "a.pt")), state_dict)


TENSORS = {
    "half": torch.linspace(-2, 2, 7).half(),
    "double": torch.linspace(-2, 2, 7, dtype=torch.float64),
    "int64": torch.tensor([2**62, -1]),
    "int32": torch.tensor([[1], [-2]], dtype=torch.int32),
    "no values": torch.zeros(0, 3),
    "no dimensions": torch.tensor(2.5),
    "transposed": torch.arange(12.0).reshape(3, 4).t(),
    "permuted": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    "every other": torch.arange(10.0)[1::2],
    "end of a storage": torch.arange(10.0)[7:],
    "overlapping": torch.arange(6.0).unfold(0, 3, 3),
    "not finite": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
}


@pytest.mark.parametrize("name", TENSORS)
def test_every_kind_of_tensor(name, tmp_path):
    tensors = {name: TENSORS[name]}
    read = read_checkpoint(saved(tensors, tmp_path / "a.pt"))
    assert_equal(read, tensors)
    assert read[name].flags.owndata
    assert read[name].flags.writeable
    assert read[name].flags.c_contiguous


def test_tensors_that_share_a_storage_become_arrays_that_do_not(tmp_path):
    whole = torch.arange(12.0)
    tensors = {"whole": whole, "part": whole[3:6], "matrix": whole.reshape(3, 4).t()}
    read = read_checkpoint(saved(tensors, tmp_path / "a.pt"))
    assert_equal(read, tensors)
    read["whole"][:] = -1
    assert read["part"].tolist() == [3, 4, 5]


# What safetensors writes


def test_safetensors_are_read_as_safetensors_reads_them(state_dict, tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(state_dict, path, metadata={"format": "pt"})
    read = read_checkpoint(path)
    assert_equal({name: read[name] for name in state_dict}, state_dict)
    assert len(read) == len(state_dict)


def test_written_safetensors_come_back_and_are_readable_by_torch(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {name: tensor.numpy() for name, tensor in TENSORS.items()}
    write_safetensors(path, arrays, {"licence": "MIT", "steps": "7"})
    read, by_torch = read_checkpoint(path), safetensors.torch.load_file(path)
    for name, array in arrays.items():
        assert read[name].shape == by_torch[name].numpy().shape == array.shape
        np.testing.assert_array_equal(read[name], array)
        np.testing.assert_array_equal(by_torch[name].numpy(), array)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"licence": "MIT", "steps": "7"}


# What is refused


def zip_of(path, pickled, storages=None, *, compression=zipfile.ZIP_STORED, prefix="archive/", **members):
    """A file like one of torch, with this pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{prefix}data.pkl", pickled)
        for key, data in (storages or {}).items():
            archive.writestr(f"{prefix}data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"{prefix}{name}", data)
    return path


class Evil:
    def __init__(self, function, argument):
        self.reduced = (function, (argument,))

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("place", ["top", "state dict", "optimizer", "attributes of a dictionary"])
@pytest.mark.parametrize("function", [os.system, eval, __import__("subprocess").getoutput], ids=lambda f: f.__name__)
def test_a_checkpoint_with_code_in_it_runs_nothing(state_dict, place, function, tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "evil.tar"
    evil = Evil(function, f"open({str(marker)!r}, 'w')" if function is eval else f"touch {marker}")
    content = {"model": collections.OrderedDict(state_dict), "optimizer": {}}
    if place == "top":
        content = evil
    elif place == "state dict":
        content["model"]["weight"] = evil
    elif place == "optimizer":
        content["optimizer"]["state"] = [evil]
    else:
        content["model"]._metadata = evil
    torch.save(content, path)
    with pytest.raises(ModelError, match=r"evil\.tar.*refused"):
        read_checkpoint(path)
    assert not marker.exists()
    # The file is dangerous indeed: whoever unpickles it runs the code.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_attributes_of_a_dictionary_change_nothing(state_dict, tmp_path):
    sly = collections.OrderedDict(state_dict)
    sly.__dict__ |= {"get": collections.OrderedDict, "keys": collections.OrderedDict}
    assert_equal(read_checkpoint(saved(sly, tmp_path / "a.pt")), state_dict)


def floats(offset=0, size=(4,), stride=(1,), *, count=4, key="0", kind="FloatStorage"):
    """A pickled state dict of one tensor `w` over a storage of `count` values."""
    buffer = io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", getattr(torch, kind), key, "cpu", count) if obj == "the storage" else None

    class Rebuilt:
        def __reduce__(self):
            arguments = ("the storage", offset, size, stride, False, collections.OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    Pickler(buffer, 2).dump({"w": Rebuilt()})
    return buffer.getvalue()


FOUR = {"0": np.arange(4, dtype="<f4").tobytes()}


def test_the_files_below_differ_from_a_good_one_only_in_what_they_are_about(tmp_path):
    assert read_checkpoint(zip_of(tmp_path / "a.pt", floats(), FOUR))["w"].tolist() == [0, 1, 2, 3]
    assert read_checkpoint(zip_of(tmp_path / "a.pt", floats(1, (2, 2), (1, 1)), FOUR))["w"].tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        pytest.param({"offset": 1}, "beyond its storage", id="offset"),
        pytest.param({"offset": 5, "size": (1,)}, "beyond its storage", id="far offset"),
        pytest.param({"size": (5,)}, "beyond its storage", id="size"),
        pytest.param({"size": (2, 2), "stride": (3, 1)}, "beyond its storage", id="stride"),
        pytest.param({"size": (2,), "stride": (2**61,)}, "beyond its storage", id="huge stride"),
        pytest.param({"size": (2**40,), "stride": (0,)}, "beyond its storage", id="one value a trillion times"),
        pytest.param({"size": (2**31, 2**31, 2), "stride": (0, 0, 0)}, "beyond its storage", id="size that overflows"),
        pytest.param({"size": (-4,)}, "malformed", id="negative size"),
        pytest.param({"offset": 3, "stride": (-1,)}, "malformed", id="negative stride"),
        pytest.param({"offset": -1}, "malformed", id="negative offset"),
        pytest.param({"size": (4, 1)}, "malformed", id="fewer strides than sizes"),
        pytest.param({"count": 5}, "expected 5 values", id="more values than stored"),
        pytest.param({"count": 3, "size": (3,)}, "expected 3 values", id="fewer values than stored"),
        pytest.param({"count": -4}, "values", id="a negative count"),
        pytest.param({"key": "1"}, "data/1", id="missing storage"),
        pytest.param({"key": "../../../etc/passwd"}, "no item named", id="storage elsewhere"),
        pytest.param({"kind": "ShortStorage", "count": 8}, "ShortStorage", id="another type"),
    ],
)
def test_tensors_that_do_not_fit_their_storage(layout, message, tmp_path):
    with pytest.raises(ModelError, match=message):
        read_checkpoint(zip_of(tmp_path / "a.pt", floats(**layout), FOUR))


def test_many_tensors_out_of_one_storage_do_not_exhaust_the_memory(tmp_path, monkeypatch):
    storage = torch.zeros(1000)
    path = saved({str(i): storage[:] for i in range(4)}, tmp_path / "a.pt")
    assert len(read_checkpoint(path)) == 4
    monkeypatch.setattr(checkpoint, "_MAX_BYTES", 15_000)
    with pytest.raises(ModelError, match="at most 15000 bytes of tensors, the tensors take more"):
        read_checkpoint(path)


def test_a_file_too_large_is_not_even_read(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(checkpoint._MAX_BYTES + 1)  # a hole, not a gigabyte
    with pytest.raises(ModelError, match="at most"):
        read_checkpoint(path)


def test_an_archive_that_claims_to_be_too_large_is_not_unpacked(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", floats())
        archive.writestr("archive/data/0", FOUR["0"])
        archive.filelist[1].file_size = 1 << 40  # goes into the directory at the end
    with pytest.raises(ModelError, match="claims to hold more"):
        read_checkpoint(path)


def test_an_archive_that_points_beyond_any_file(tmp_path):
    path = tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", floats())
        archive.writestr("archive/data/0", FOUR["0"])
        archive.filelist[1].header_offset = 2**64 - 1
    with pytest.raises(ModelError, match="damaged"):
        read_checkpoint(path)


def test_compressed_archives_are_not_torchs(tmp_path):
    path = zip_of(tmp_path / "a.pt", floats(), {"0": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(path)


def test_big_endian_checkpoints_are_refused(tmp_path):
    with pytest.raises(ModelError, match="big-endian"):
        read_checkpoint(zip_of(tmp_path / "a.pt", floats(), FOUR, byteorder="big"))
    assert len(read_checkpoint(zip_of(tmp_path / "a.pt", floats(), FOUR, byteorder="little"))) == 1


@pytest.mark.parametrize(
    "content", [{}, [torch.zeros(1)], torch.zeros(2), {"w": 1}, {1: torch.zeros(1)}, {"w": {"v": 1}}, 5]
)
def test_anything_but_a_state_dict(content, tmp_path):
    with pytest.raises(ModelError, match=r"a\.pt: expected (a state dict|tensors by name)"):
        read_checkpoint(saved(content, tmp_path / "a.pt"))


def legacy(path):
    torch.save({"w": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)


def real_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("data.pkl"))


def zip_without_pickle(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")


def zip_with_two_pickles(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", floats())
        archive.writestr("b/data.pkl", floats())


def of_float8(path):
    safetensors.torch.save_file({"w": torch.zeros(3, dtype=torch.float8_e5m2)}, path)


FOREIGN = {
    "of torch before 1.6": legacy,
    "tar": real_tar,
    "zip without a pickle": zip_without_pickle,
    "zip with two pickles": zip_with_two_pickles,
    "start of a zip": lambda path: path.write_bytes(b"PK\x03\x04"),
    "end of an empty zip": lambda path: path.write_bytes(b"PK\x03\x04" + b"PK\x05\x06" + bytes(18)),
    "safetensors of float8": of_float8,
    "random bytes": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "text": lambda path: path.write_text("weights, honestly"),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"w": [1.0]})),
    "empty": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", [".tar", ".safetensors"])
def test_files_of_other_kinds(kind, suffix, tmp_path):
    path = tmp_path / f"model{suffix}"
    FOREIGN[kind](path)
    with pytest.raises(ModelError, match=rf"model\{suffix}"):
        read_checkpoint(path)


def test_an_encrypted_archive(tmp_path):
    path = zip_of(tmp_path / "a.pt", floats(), FOUR)
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := data.find(magic, start)) >= 0:
            data[start + flags] |= 1
            start += 4
    path.write_bytes(data)
    with pytest.raises(ModelError, match="password"):
        read_checkpoint(path)


# Damage of any kind


@pytest.fixture(scope="module")
def good(state_dict, tmp_path_factory):
    """The bytes of one file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    torch.save({"model": state_dict}, folder / "zip")
    safetensors.torch.save_file(state_dict, folder / "safetensors")
    return {kind: (folder / kind).read_bytes() for kind in ("zip", "safetensors")}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_zip_gives_the_same_arrays_or_a_model_error(good, state_dict, tmp_path_factory, data):
    damaged = bytearray(good["zip"])
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pt"
    path.write_bytes(damaged)
    try:
        arrays = read_checkpoint(path)
    except ModelError:
        return
    assert_equal(arrays, state_dict)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_safetensors_are_read_or_a_model_error(good, tmp_path_factory, data):
    damaged = bytearray(good["safetensors"])
    header = 8 + int.from_bytes(damaged[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, header - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged)
    try:
        arrays = read_checkpoint(path)
    except ModelError:
        return
    assert all(isinstance(array, np.ndarray) for array in arrays.values())


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(["zip", "safetensors"]), fraction=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_a_model_error(good, tmp_path_factory, kind, fraction):
    path = tmp_path_factory.getbasetemp() / "truncated"
    path.write_bytes(good[kind][: int(fraction * len(good[kind]))])
    with pytest.raises(ModelError, match="truncated"):
        read_checkpoint(path)


# What people save, and what others send


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_bfloat16_becomes_float32(tmp_path, suffix):
    values = torch.tensor([1.0, -2.5, 3.140625, float("inf")], dtype=torch.bfloat16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".pt":
        torch.save({"w": values}, path)
    else:
        safetensors.torch.save_file({"w": values}, path)
    array = read_checkpoint(path)["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values.float().numpy())


def test_what_lies_beside_the_weights_is_passed_over(tmp_path):
    weights = {"w": torch.ones(2)}
    beside = {"loss": np.float64(0.5), "size": torch.Size([1, 2]), "table": np.ones(3), "on": torch.device("cpu")}
    for protocol in (2, 4):
        path = saved({"generator": weights, **beside}, tmp_path / f"{protocol}.pt", pickle_protocol=protocol)
        assert_equal(read_checkpoint(path), weights)
    with pytest.raises(ModelError, match="expected tensors by name"):
        read_checkpoint(saved(weights | beside, tmp_path / "mixed.pt"))


def test_many_views_of_one_storage_are_refused(tmp_path):
    storage = torch.zeros(10_000)
    path = saved({f"w{number}": storage[:] for number in range(1000)}, tmp_path / "a.pt")
    assert path.stat().st_size < 300_000
    with pytest.raises(ModelError, match="bytes of tensors"):
        read_checkpoint(path)
    assert len(read_checkpoint(saved({"a": storage, "b": storage}, tmp_path / "tied.pt"))) == 2


def test_safetensors_may_have_null_as_metadata(tmp_path):
    header = b'{"__metadata__":null,"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_checkpoint(path)["w"].shape == (1,)
    assert checkpoint.read_architecture(path) == ""
