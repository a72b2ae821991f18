"""DeviceLayer: a torch layer whose outputs are measured bits.

Forward: pre-activation z of neuron j becomes the current I = I50 + z u of its device (u: one logistic unit,
by the forward calibration), one frame batch is played, and the measured bits are the output. Backward: the
derivative of the surrogate chosen by the backward calibration at that same current, or 1 (straight-through).
z is clipped at +-8 and at the device's envelope; where it is clipped the gradient is zero.

A pulse changes a device, so nothing is ever played twice. When torch recomputes a forward pass inside the
backward pass (torch.utils.checkpoint), the layer returns the bits it recorded. That a forward call happens
inside a backward pass is visible only through a private torch function; which call is being recomputed is
told by a ticket drawn from torch's global generator (checkpoint restores that generator), and by the input
itself.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import threshold

from hilab.analysis.fits import ETA_HALF
from hilab.frames import FloatArray
from hilab.learning.assignment import Assignment
from hilab.learning.neurons import NeuronBench
from hilab.learning.surrogate import Surrogate

Z_LIMIT = 8.0
REMEMBERED_BYTES = 16 << 20  # recorded calls kept for a recomputation


class _MeasuredBits(torch.autograd.Function):
    """Value from the devices, derivative from the surrogate."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, bits: Tensor, derivative: Tensor) -> Tensor:
        ctx.save_for_backward(derivative)
        return bits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (derivative,) = ctx.saved_tensors
        return gradient * derivative, None, None


@dataclass(frozen=True)
class _Call:
    """One execution on the devices."""

    ticket: int
    z: Tensor
    bits: Tensor

    @property
    def size(self) -> int:
        return self.z.numel() * 5


class DeviceLayer(torch.nn.Module):
    """H neurons on devices: z (B, H) in, bits (B, H) of 0 and 1 out, in z's dtype.

    bench: who fires the neurons. assignment: neuron -> device. forward, backward: the curves (of the
    assignment's devices) that turn z into current and give the derivative; backward None is
    straight-through. envelope_a (D,): largest write current. clipped, fired: neurons clipped and fired so
    far. Refuses, with one sentence, vmap and other function transforms, torch.compile, other threads than
    the one that built it, and any first call inside a backward pass. `eval()` changes nothing here: give
    another bench to leave the hardware.
    """

    def __init__(
        self,
        bench: NeuronBench,
        assignment: Assignment,
        forward: Surrogate,
        backward: Surrogate | None,
        *,
        envelope_a: FloatArray | None = None,
        z_limit: float = Z_LIMIT,
    ):
        super().__init__()
        for curves in (forward, backward):
            if curves is not None and curves.devices != assignment.devices:
                raise ValueError(
                    "the curves of a layer must be those of its assignment's devices, in that order"
                )
        self.bench = bench
        self.assignment = assignment
        self.calibrate(forward, backward, envelope_a=envelope_a, z_limit=z_limit)
        self.fired = 0
        self.clipped = 0
        self._thread = threading.get_ident()
        self._calls: deque[_Call] = deque()
        self._held = 0

    def calibrate(
        self,
        forward: Surrogate,
        backward: Surrogate | None,
        *,
        envelope_a: FloatArray | None = None,
        z_limit: float = Z_LIMIT,
    ) -> None:
        """Exchange the curves and the limits (a new calibration during training)."""
        device = self.assignment.device
        self.forward_curves, self.backward_curves = forward, backward
        i50, unit = forward.i50_a[device], forward.unit_a[device]
        most = np.full(len(device), np.inf) if envelope_a is None else np.asarray(envelope_a, float)[device]
        ends = np.stack([(-most - i50) / unit, (most - i50) / unit])  # z at -envelope and at +envelope
        if (ends.max(axis=0) < -z_limit).any() or (ends.min(axis=0) > z_limit).any():
            raise ValueError("a neuron's whole range of currents lies beyond its device's envelope")
        self._low = _row(np.maximum(ends.min(axis=0), -z_limit))
        self._high = _row(np.minimum(ends.max(axis=0), z_limit))
        self._i50_a, self._unit_a = i50, unit
        if backward is not None:
            # predictor of the backward curve as a line in z
            rate = backward.steepness()[device]
            self._gain = _row(rate * unit)
            half = 0.0 if backward.law == "logistic" else ETA_HALF
            self._shift = _row(rate * (i50 - backward.i50_a[device]) + half)

    @property
    def clipped_fraction(self) -> float:
        """Share of the neurons fired so far whose z was clipped."""
        return self.clipped / self.fired if self.fired else 0.0

    def forward(self, z: Tensor) -> Tensor:
        """Bits (B, H) for pre-activations z (B, H)."""
        if torch.compiler.is_compiling():
            _refuse_compiler()
        self._refuse_strangers()
        flat = z.detach()
        if flat.ndim != 2 or flat.shape[1] != self.assignment.neurons:
            raise ValueError(f"z must be (batch, {self.assignment.neurons}), got {tuple(flat.shape)}")
        if flat.device.type != "cpu" or flat.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"z must be float32 or float64 on the CPU, got {flat.dtype} on {flat.device}")
        clamped = torch.clamp(flat, self._low, self._high)
        inside = np.equal(flat.numpy(), clamped.numpy())  # several times faster than torch's comparison
        bits = self._recorded_or_fired(flat, clamped, inside)
        if not (torch.is_grad_enabled() and z.requires_grad):
            return bits
        measured: Tensor = _MeasuredBits.apply(z, bits, self._derivative(clamped, inside))
        return measured

    def _recorded_or_fired(self, z: Tensor, clamped: Tensor, inside: NDArray[np.bool_]) -> Tensor:
        ticket = int(torch.randint(1 << 62, ()))
        if _inside_backward():
            return self._recorded(ticket, z)
        clipped = inside.size - int(np.count_nonzero(inside))
        if clipped and bool(torch.isnan(z).any()):
            raise ValueError("z holds values that are not numbers: the training diverged, no pulse was sent")
        bits = self._fire(clamped)
        self.fired += inside.size
        self.clipped += clipped
        self._remember(_Call(ticket, z.clone(), bits))
        return bits.to(z.dtype)

    def _fire(self, clamped: Tensor) -> Tensor:
        current = clamped.numpy() * self._unit_a + self._i50_a  # float64, as the arrays of the curves
        device = np.broadcast_to(self.assignment.device, current.shape)
        fired = self.bench.fire(device.ravel(), current.ravel())
        return torch.from_numpy(fired).reshape(clamped.shape)

    def _derivative(self, clamped: Tensor, inside: NDArray[np.bool_]) -> Tensor:
        """dP/dz of the backward curve, zero where z is clipped."""
        if self.backward_curves is None:
            return torch.from_numpy(inside.astype(clamped.numpy().dtype))
        eta = torch.addcmul(self._shift, clamped, self._gain)
        if self.backward_curves.law == "logistic":
            p = torch.sigmoid(eta)
            slope = torch.addcmul(p, p, p, value=-1)  # p (1 - p)
        else:
            events = eta.clamp_(max=6.0).exp()  # expected switching events; P = 1 - exp(-events)
            slope = eta.sub_(events).exp_()
        # Steps below 1e-7 teach nothing, but their products are denormal numbers, many times slower.
        slope = threshold(slope, 1e-7, 0.0).mul_(self._gain)
        return slope if inside.all() else slope.mul_(torch.from_numpy(inside))

    def _remember(self, call: _Call) -> None:
        self._calls.append(call)
        self._held += call.size
        while self._held > REMEMBERED_BYTES and len(self._calls) > 1:
            self._held -= self._calls.popleft().size

    def _recorded(self, ticket: int, z: Tensor) -> Tensor:
        """The bits of the call that is being recomputed. Plays nothing, whatever happens."""
        same = [call for call in self._calls if call.z.shape == z.shape and torch.equal(call.z, z)]
        known = [call for call in same if call.ticket == ticket] or same
        if not known:
            raise RuntimeError(
                "a device layer was called inside a backward pass with an input it has not seen before, "
                "and no pulse is sent from there: call it in the forward pass"
            )
        if any(not torch.equal(call.bits, known[0].bits) for call in known):
            raise RuntimeError(
                "a recomputation cannot tell which of several calls with equal input it repeats: "
                "use torch.utils.checkpoint with preserve_rng_state=True"
            )
        return known[0].bits.to(z.dtype)

    def _refuse_strangers(self) -> None:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            raise RuntimeError(
                "a device layer cannot run under vmap, torch.func.grad or another function transform: "
                "devices are pulsed one batch at a time, so call the layer directly"
            )
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "a device layer is used by another thread than the one that built it: "
                "one thread owns the devices, so build and train the network in the same thread"
            )


def _row(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _inside_backward() -> bool:
    """Is this thread running a backward pass now, that is, is a forward call a recomputation?"""
    return bool(torch._C._current_graph_task_id() != -1)  # type: ignore[attr-defined,unused-ignore]


def _refuse(context: Any) -> None:
    raise RuntimeError(
        "a device layer cannot be compiled: torch.compile may drop, reorder or repeat calls, and each call "
        "pulses devices; compile the other layers, not this one"
    )


def _refuse_compiler() -> None:
    """Stop the tracing itself: an exception in traced code would only make the compiler fall back."""
    from torch._dynamo.comptime import comptime

    comptime(_refuse)
