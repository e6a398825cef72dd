"""Copies between host and device that wait for neither: a step of training on a GPU has no host synchronization.

A copy from pageable memory, and any read of a device value such as `float(x)`, waits until the device has done all that it was given.
Then the device has no work while the host prepares the next kernels."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device. A copy to CUDA goes through pinned memory and runs after the kernels that were launched before."""
    device = torch.device(device)
    if tensor.device.type == "cpu" and device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type != "cpu")


class HostCopy:
    """Copy of a tensor in host memory that is made while the device goes on."""

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor.detach().to("cpu", non_blocking=True)
        self._done = None
        if tensor.device.type == "cuda":
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(tensor.device))

    def read(self) -> Tensor:
        """The copy; waits for the kernels before it, not for those after it."""
        if self._done is not None:
            self._done.synchronize()
        return self._host
