"""DeviceLayer: currents, derivatives, clipping, and that nothing is ever pulsed twice."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from hilab.learning.assignment import Assignment
from hilab.learning.layer import DeviceLayer
from hilab.learning.study import ChipLaw, named_stream
from hilab.learning.surrogate import Surrogate

WIDTHS = [2e-6, 4e-6, 8e-6]
TRUE = ChipLaw().draw(WIDTHS, named_stream(1, "chip"))
NOMINAL = ChipLaw().nominal(WIDTHS)
LAID = Assignment.round_robin(5, TRUE.devices)


class Recorder:
    """Fires fair coins and keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[np.ndarray, np.ndarray]] = []
        self.random = np.random.default_rng(0)

    def fire(self, device: np.ndarray, current_a: np.ndarray) -> np.ndarray:
        self.calls.append((device, current_a))
        return (self.random.random(len(device)) < 0.5).astype(np.uint8)


def layer(
    forward: Surrogate = NOMINAL, backward: Surrogate | None = TRUE, **settings: Any
) -> tuple[DeviceLayer, Recorder]:
    bench = Recorder()
    return DeviceLayer(bench, LAID, forward, backward, **settings), bench


def drive(rows: int = 4, scale: float = 3.0) -> torch.Tensor:
    return (scale * torch.randn(rows, 5, generator=torch.Generator().manual_seed(3))).requires_grad_()


def test_current_and_order_of_one_batch() -> None:
    neurons, bench = layer()
    z = drive()
    out = neurons(z)
    ((device, current),) = bench.calls
    assert device.tolist() == [0, 1, 2, 0, 1] * 4
    expected = NOMINAL.i50_a[LAID.device] + z.detach().numpy() * NOMINAL.unit_a[LAID.device]
    np.testing.assert_allclose(current, expected.ravel(), rtol=1e-6)
    assert out.shape == z.shape
    assert set(out.detach().unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("law", ["arrhenius", "logistic"])
def test_gradient_is_the_backward_curve_at_the_driven_current(law: str) -> None:
    curve = Surrogate(TRUE.devices, TRUE.width_m, TRUE.i50_a, TRUE.unit_a, law)  # type: ignore[arg-type]
    neurons, bench = layer(backward=curve)
    z = drive(scale=2.0)
    weight = torch.arange(20.0).reshape(4, 5)
    (neurons(z) * weight).sum().backward()
    device, current = bench.calls[0]
    expected = curve.slope_per_a(device, current) * NOMINAL.unit_a[device]
    assert z.grad is not None
    np.testing.assert_allclose(
        z.grad.numpy().ravel(), weight.numpy().ravel() * expected, rtol=2e-4, atol=1e-6
    )


def test_straight_through_and_clipping() -> None:
    neurons, bench = layer(backward=None)
    z = torch.tensor([[-9.0, -8.0, 0.0, 7.9, 20.0]], requires_grad=True)
    neurons(z).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[0.0, 1.0, 1.0, 1.0, 0.0]]
    assert neurons.clipped_fraction == 0.4
    device, current = bench.calls[0]
    units = (current - NOMINAL.i50_a[device]) / NOMINAL.unit_a[device]
    np.testing.assert_allclose(units, [-8, -8, 0, 7.9, 8], rtol=1e-5)


def test_envelope_clips_and_kills_the_gradient() -> None:
    envelope = NOMINAL.i50_a + 2 * NOMINAL.unit_a
    neurons, bench = layer(envelope_a=envelope)
    z = torch.full((1, 5), 3.0, requires_grad=True)
    neurons(z).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[0.0] * 5]
    device, current = bench.calls[0]
    assert (current <= envelope[device] * (1 + 1e-6)).all()
    with pytest.raises(ValueError, match="beyond its device's envelope"):
        layer(envelope_a=0.1 * NOMINAL.i50_a)


def test_negative_pulses_stay_inside_the_envelope() -> None:
    mirrored = Surrogate(TRUE.devices, TRUE.width_m, -NOMINAL.i50_a, -NOMINAL.unit_a)
    envelope = NOMINAL.i50_a + 2 * NOMINAL.unit_a
    neurons, bench = layer(mirrored, mirrored, envelope_a=envelope)
    z = torch.tensor([[3.0, 1.0, 0.0, -3.0, 30.0]], requires_grad=True)
    neurons(z).sum().backward()
    device, current = bench.calls[0]
    assert (current < 0).all()
    assert (-current <= envelope[device] * (1 + 1e-6)).all()
    assert z.grad is not None
    assert (z.grad[0, 1:4] > 0).all()


def test_without_gradient_it_fires_all_the_same() -> None:
    neurons, bench = layer()
    neurons.eval()
    with torch.no_grad():
        out = neurons(drive())
    assert not out.requires_grad
    assert len(bench.calls) == 1


def test_equal_inputs_pulse_twice() -> None:
    neurons, bench = layer()
    z = drive()
    torch.manual_seed(1)
    first = neurons(z)
    torch.manual_seed(1)
    second = neurons(z)
    assert len(bench.calls) == 2
    assert not torch.equal(first, second)


class Block(torch.nn.Module):
    """A layer between two operations whose results the backward pass needs."""

    def __init__(self, neurons: DeviceLayer):
        super().__init__()
        self.neurons = neurons
        self.scale = torch.nn.Parameter(torch.ones(5))
        self.seen: list[torch.Tensor] = []

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        bits = self.neurons(torch.sinh(z * self.scale))
        self.seen.append(bits.detach().clone())
        result: torch.Tensor = torch.sigmoid(bits * self.scale)
        return result


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("preserve", [True, False])
def test_recomputation_returns_the_recorded_bits(reentrant: bool, preserve: bool) -> None:
    neurons, bench = layer()
    block = Block(neurons)
    z = drive(scale=1.0)
    checkpoint(block, z, use_reentrant=reentrant, preserve_rng_state=preserve).sum().backward()
    assert len(bench.calls) == 1
    assert len(block.seen) == 2
    assert torch.equal(block.seen[0], block.seen[1])
    plain = Block(layer()[0])
    twin = drive(scale=1.0)
    plain(twin).sum().backward()
    assert z.grad is not None
    assert twin.grad is not None
    torch.testing.assert_close(z.grad, twin.grad)


@pytest.mark.parametrize("reentrant", [True, False])
def test_two_checkpointed_calls_with_equal_input_keep_their_own_bits(reentrant: bool) -> None:
    neurons, bench = layer()
    first, second = Block(neurons), Block(neurons)
    z = drive(scale=1.0)
    total = checkpoint(first, z, use_reentrant=reentrant) + checkpoint(second, z, use_reentrant=reentrant)
    total.sum().backward()
    assert len(bench.calls) == 2
    for block in (first, second):
        assert torch.equal(block.seen[0], block.seen[1])
    assert not torch.equal(first.seen[0], second.seen[0])


@pytest.mark.parametrize("reentrant", [True, False])
def test_calls_that_cannot_be_told_apart_are_refused_not_guessed(reentrant: bool) -> None:
    neurons, bench = layer()
    z = drive(scale=1.0)
    kept = {"use_reentrant": reentrant, "preserve_rng_state": False}
    total = checkpoint(Block(neurons), z, **kept) + checkpoint(Block(neurons), z, **kept)
    with pytest.raises(RuntimeError, match="preserve_rng_state=True"):
        total.sum().backward()
    assert len(bench.calls) == 2


def test_training_with_checkpointing_pulses_once_a_step() -> None:
    neurons, bench = layer()
    block = Block(neurons)
    optimiser = torch.optim.SGD(block.parameters(), lr=0.1)
    for step in range(5):
        optimiser.zero_grad()
        checkpoint(block, drive(scale=1.0), use_reentrant=False).sum().backward()
        optimiser.step()
        assert len(bench.calls) == step + 1


class CallsInBackward(torch.autograd.Function):
    neurons: DeviceLayer

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        return z.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return CallsInBackward.neurons(gradient)


def test_a_first_call_inside_a_backward_pass_is_refused() -> None:
    neurons, bench = layer()
    CallsInBackward.neurons = neurons
    with pytest.raises(RuntimeError, match="inside a backward pass"):
        CallsInBackward.apply(drive()).sum().backward()
    assert not bench.calls


def test_function_transforms_are_refused() -> None:
    neurons, bench = layer()
    z = drive().detach()
    with pytest.raises(RuntimeError, match="under vmap"):
        torch.vmap(lambda row: neurons(row[None]))(z)
    with pytest.raises(RuntimeError, match=r"torch\.func\.grad"):
        torch.func.grad(lambda value: neurons(value).sum())(z)
    assert not bench.calls


@pytest.mark.parametrize("whole", [True, False])
def test_the_compiler_is_refused(whole: bool) -> None:
    neurons, bench = layer()
    compiled = torch.compile(Block(neurons), backend="eager", fullgraph=whole)
    with pytest.raises(Exception, match="cannot be compiled: torch"):
        compiled(drive())
    torch._dynamo.reset()
    assert not bench.calls


def test_another_thread_is_refused() -> None:
    neurons, bench = layer()
    failures: list[str] = []

    def call() -> None:
        try:
            neurons(drive())
        except RuntimeError as refused:
            failures.append(str(refused))

    worker = threading.Thread(target=call)
    worker.start()
    worker.join()
    assert "another thread" in failures[0]
    assert not bench.calls


def test_bad_input_sends_no_pulse() -> None:
    neurons, bench = layer()
    with pytest.raises(ValueError, match="not numbers"):
        neurons(torch.full((2, 5), float("nan")))
    with pytest.raises(ValueError, match=r"\(batch, 5\)"):
        neurons(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="float32 or float64 on the CPU"):
        neurons(torch.zeros(2, 5, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="those of its assignment"):
        DeviceLayer(bench, LAID, TRUE.choose(["w4_d1", "w2_d1", "w8_d1"]), None)
    assert not bench.calls


def test_expected_gradient_is_unbiased_for_a_linear_read_out() -> None:
    """The layer's gradient against the exact derivative of E[y], y linear in the bits."""
    neurons, _ = layer(forward=TRUE, backward=TRUE)
    z = drive(1, 1.0)
    weight = torch.linspace(-1, 1, 5)
    (neurons(z) @ weight).sum().backward()
    step = 1e-4
    for column in range(5):
        device = LAID.device[[column]]
        ends = [
            float(
                TRUE.probability(
                    device, TRUE.i50_a[device] + (z[0, column].item() + sign * step) * TRUE.unit_a[device]
                )[0]
            )
            for sign in (1, -1)
        ]
        exact = float(weight[column]) * (ends[0] - ends[1]) / (2 * step)
        assert z.grad is not None
        assert float(z.grad[0, column]) == pytest.approx(exact, rel=1e-3, abs=1e-5)


def test_double_precision_goes_through() -> None:
    neurons, bench = layer()
    z = drive().detach().double().requires_grad_()
    out = neurons(z)
    out.sum().backward()
    assert out.dtype == torch.float64
    assert len(bench.calls) == 1
