"""The real and imaginary parts of a spectrum are written through view_as_real."""

import torch

EXPECT = {
    "node": "ExpBackward0",
    "field": "result",
    "shape": [4],
    "dtype": "complex64",
    "writers": ["aten::neg_"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::exp",
    "module": None,
}


def run():
    torch.manual_seed(0)
    phase = torch.randn(4, requires_grad=True)
    spectrum = torch.exp(torch.complex(torch.zeros(4), phase))  # saves
    parts = torch.view_as_real(spectrum)
    parts[..., 1].neg_()  # writes
    torch.fft.ifft(spectrum).abs().sum().backward()


if __name__ == "__main__":
    run()
