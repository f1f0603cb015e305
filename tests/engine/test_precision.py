"""Mixed precision: what computes in 16 bits, what must not, and what a loss scaled too far may not do."""

import dataclasses

import numpy as np
import pytest
import torch

from scripted import script
from torch_engines import HYPER, engine_for, weights
from upswing.engine.precision import Precision
from upswing.errors import TrainingDiverged

CPU = torch.device("cpu")


def updated(amp, **hyper):
    engine = engine_for(script(16, 4), amp=amp)
    return engine, engine.update(engine.collect(), HYPER._replace(**hyper))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_layers_compute_in_16_bits_and_everything_kept_is_float32(amp):
    engine = engine_for(script(16, 4), amp=amp)
    seen = []
    engine.policy.pi[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    rollout = engine.collect()
    engine.update(rollout, HYPER)
    assert seen.count(torch.bfloat16 if amp == "bf16" else torch.float16) == 16 + 2 * 8  # steps and minibatches
    kept = [rollout.log_probs, rollout.values, rollout.last_values, *engine.policy.parameters()]
    kept += [state["exp_avg"] for state in engine.learner.optimizer.state.values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_an_update_in_16_bits_is_nearly_that_in_32(amp):
    exact, stats = updated("off", n_epochs=1)
    rough, other = updated(amp, n_epochs=1)
    assert other.ratio_error < 1e-2
    assert not torch.equal(weights(exact), weights(rough))
    torch.testing.assert_close(
        weights(rough), weights(exact), atol=5e-3, rtol=0
    )  # each weight moved by at most lr a step
    for name in ("value_loss", "entropy_loss", "grad_norm"):
        assert getattr(other, name) == pytest.approx(getattr(stats, name), rel=0.05)


def test_off_changes_no_number():
    """The scaler and the context that do nothing do nothing: plain autograd and Adam give the same weights, bit by bit."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    other = torch.nn.Parameter(parameter.detach().clone())
    ours, plain = (torch.optim.Adam([p], lr=0.1, fused=True) for p in (parameter, other))
    precision = Precision("off", CPU)
    for _ in range(3):
        norm = precision.step((parameter**3).sum(), ours, [parameter], 0.5)
        plain.zero_grad()
        (other**3).sum().backward()
        assert torch.equal(norm, torch.nn.utils.clip_grad_norm_([other], 0.5))
        plain.step()
        assert torch.equal(parameter, other)


def test_an_overflow_skips_the_step_and_halves_the_scale():
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer, precision = torch.optim.Adam([parameter], lr=0.1, fused=True), Precision("fp16", CPU)
    precision.step(parameter.sum(), optimizer, [parameter], 0.5)
    taken, scale = parameter.item(), precision.scaler.get_scale()
    assert taken < 1.0
    norm = precision.step(parameter.sum() * torch.inf, optimizer, [parameter], 0.5)
    assert not torch.isfinite(norm)
    assert (parameter.item(), precision.scaler.get_scale()) == (taken, scale / 2)


def test_the_update_goes_on_past_overflows_but_not_past_a_loss_that_is_nan():
    engine = engine_for(script(16, 4), amp="fp16")
    rollout = engine.collect()
    engine.precision.scaler.load_state_dict(engine.precision.scaler.state_dict() | {"scale": 2.0**60})
    stats = engine.update(rollout, HYPER)
    assert stats.gradient_steps < 16  # 8 minibatches an epoch; those that overflowed took no step
    assert np.isfinite(stats.grad_norm)
    rollout.rewards[3] = torch.nan
    with pytest.raises(TrainingDiverged):
        engine.update(rollout, HYPER)


def test_the_loss_scale_is_resumed():
    engine, _ = updated("fp16")
    engine.precision.scaler.load_state_dict(engine.precision.scaler.state_dict() | {"scale": 1024.0})
    other = engine_for(script(16, 4), amp="fp16")
    other.restore(engine.snapshot())
    assert other.precision.scaler.state_dict() == engine.precision.scaler.state_dict()


def test_only_the_torch_engine_mixes_precision():
    from upswing.engine.native_engine import unsupported

    engine = engine_for(script(16, 4))
    assert unsupported(engine.policy, engine.env, engine.learner.config) is None
    assert "mixed precision" in unsupported(
        engine.policy, engine.env, dataclasses.replace(engine.learner.config, amp="bf16")
    )
