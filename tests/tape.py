"""A recording of operations on the CPU, with the rules of a CUDA graph: tensors keep their addresses, and
nothing but the operations happens again."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITING = ["_local_scalar_dense", "nonzero", "is_nonzero", "equal"]
OF_LIBRARIES = ["cholesky", "eigh", "solve", "svd"]  # cuSOLVER cannot be recorded


def base_name(operation):
    return operation.overloadpacket.__name__


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class NotRecordable(RuntimeError):
    pass


def check_recordable(operation, args):
    name = base_name(operation)
    by_mask = name.startswith("index") and any(t.dtype == torch.bool for t in tensors(args[1:2]))
    if by_mask or name in WAITING or any(library in name for library in OF_LIBRARIES):
        raise NotRecordable(name)


class Tape(TorchDispatchMode):
    """Notes what is done inside it; :meth:`replay` does it again."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        check_recordable(operation, args)
        results = operation(*args, **(kwargs or {}))
        made = [tensor.detach() for tensor in tensors(results)]  # whose shape stays
        self.operations.append((operation, args, kwargs or {}, made))
        return results

    @torch.no_grad()
    def replay(self):
        for operation, args, kwargs, results in self.operations:
            for old, new in zip(results, tensors(operation(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():  # neither a view nor changed in place
                    old.copy_(new)


def record_on_tape(step, generator):
    with Tape() as tape:
        step()
    return tape.replay
