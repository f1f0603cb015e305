"""All parameters of a module in one flat tensor, in the module's own memory.

Each parameter becomes a view of one float32 tensor, in torch's layout (a Linear's weight is [out, in]), its start
padded to 64 bytes: a cache line, and what vector instructions like. Adam and gradient clipping are then one loop over
one array, and compiled code and torch work on the same numbers. Autograd, Adam, load_state_dict and safetensors do
not notice. `.to(...)`, deepcopy and load_state_dict(assign=True) undo it: ask `is_flat` before relying on it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # float32 numbers in 64 bytes


def parameter_offsets(module: nn.Module) -> dict[str, int]:
    """Where each parameter starts in the flat tensor, in numbers, by its torch name and in their order."""
    offsets, end = {}, 0
    for name, parameter in module.named_parameters():
        offsets[name] = end
        end += _padded(parameter)
    return offsets


def flatten_parameters(module: nn.Module) -> Tensor:
    """The flat float32 tensor whose views the parameters of `module` now are; values are kept, padding is 0.

    The parameters stay the same objects, so that an optimiser made before goes on working; their gradients are
    dropped. A module that is flat already gets its tensor back. Raises ValueError for parameters that are not float32
    or lie on several devices.
    """
    parameters = dict(module.named_parameters())
    if is_flat(module):
        return _flat_tensor(module)
    kinds = {(parameter.dtype, parameter.device) for parameter in parameters.values()}
    if len(kinds) != 1 or next(iter(kinds))[0] != torch.float32:
        raise ValueError(f"parameters must be float32 and on one device to share a flat tensor, not {kinds}.")
    device = next(iter(kinds))[1]
    flat = torch.zeros(sum(map(_padded, parameters.values())), dtype=torch.float32, device=device)
    for name, start in parameter_offsets(module).items():
        parameter = parameters[name]
        view = flat[start : start + parameter.numel()].view(parameter.shape)
        view.copy_(parameter.detach())
        parameter.data, parameter.grad = view, None
    return flat


def is_flat(module: nn.Module) -> bool:
    """Whether the parameters of `module` still are views of one flat tensor, laid out as `flatten_parameters` does."""
    parameters = dict(module.named_parameters())
    if not parameters:
        return False
    first = next(iter(parameters.values()))
    start, size = first.untyped_storage().data_ptr(), sum(map(_padded, parameters.values()))
    if start % 64 or first.untyped_storage().nbytes() != 4 * size:
        return False
    return all(
        parameters[name].dtype == torch.float32
        and parameters[name].is_contiguous()
        and parameters[name].data_ptr() == start + 4 * offset
        for name, offset in parameter_offsets(module).items()
    )


def _flat_tensor(module: nn.Module) -> Tensor:
    first = next(module.parameters())
    size = sum(map(_padded, module.parameters()))
    return first.detach().as_strided((size,), (1,), 0)


def _padded(parameter: Tensor) -> int:
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
