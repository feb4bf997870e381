"""`one_thread`: what runs inside has one thread, and nobody else is changed."""

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from gtcrn_frontend.nets.threads import one_thread, run_on_one_thread

HAS_OPENMP = "OpenMP" in torch.__config__.parallel_info().split("ATen parallel backend:")[1].split("\n")[0]
needs_openmp = pytest.mark.skipif(not HAS_OPENMP or sys.platform != "linux", reason="torch runs another runtime")


@pytest.fixture(autouse=True)
def several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@needs_openmp
def test_inside_there_is_one_thread_and_outside_what_was_before():
    with one_thread():
        assert torch.get_num_threads() == 1
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert torch.get_num_threads() == 3


@needs_openmp
def test_threads_that_begin_meanwhile_have_the_setting_of_the_process():
    seen = []
    with one_thread():
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 1
    assert seen == [3]


@needs_openmp
def test_a_thread_that_is_new_to_torch_is_limited_too():
    seen = []

    def run():
        with one_thread():
            torch.randn(200_000).exp()  # large enough to be divided
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [1, 3]


def test_gradients_are_those_of_the_plain_call_and_also_computed_on_one_thread():
    torch.manual_seed(0)
    net, seen = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 5)), []
    net[2].bias.requires_grad_(False)
    net[1].register_full_backward_hook(lambda *_: seen.append(torch.get_num_threads()))
    for asks in (False, True):
        plain, own = (torch.randn(4, 5, generator=torch.Generator().manual_seed(1)) for _ in range(2))
        plain.requires_grad_(asks), own.requires_grad_(asks)
        net.zero_grad()
        net(plain).square().sum().backward()
        expected = [p.grad.clone() for p in net.parameters() if p.requires_grad]
        seen.clear()
        loss = run_on_one_thread(net, net, own).square().sum()
        for times in (1, 2):  # a second pass over the same graph adds the same
            net.zero_grad()
            loss.backward(retain_graph=times == 1)
            for parameter, gradient in zip((p for p in net.parameters() if p.requires_grad), expected, strict=True):
                torch.testing.assert_close(parameter.grad, gradient)
        if asks:
            torch.testing.assert_close(own.grad, 2 * plain.grad)
        assert seen == ([1, 1] if HAS_OPENMP and sys.platform == "linux" else [3, 3])
    assert torch.get_num_threads() == 3


def test_without_gradients_nothing_is_recorded():
    net = nn.Linear(3, 3)
    with torch.no_grad():
        assert not run_on_one_thread(net, net, torch.ones(1, 3)).requires_grad
    net.requires_grad_(False)
    assert not run_on_one_thread(net, net, torch.ones(1, 3)).requires_grad


@needs_openmp
def test_the_torch_engine_in_a_process_of_many_threads():
    program = """if True:
        import numpy as np, torch
        from gtcrn_frontend import Enhancer
        from gtcrn_frontend.nets.gtcrn import GTCRN
        torch.set_num_threads(3)
        seen = []
        stream = GTCRN.stream
        def watched(self, *args):
            seen.append(torch.get_num_threads())
            return stream(self, *args)
        GTCRN.stream = watched
        Enhancer(engine="torch").process_chunk(np.zeros(1600, np.float32))
        print(set(seen), torch.get_num_threads())
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "{1} 3\n"
