"""A decorator scales the result of whatever function it wraps, in place."""

import functools

import torch


def scaled(factor):
    def wrap(f):
        @functools.wraps(f)
        def call(*args, **kwargs):
            result = f(*args, **kwargs)
            result *= factor  # writes
            return result

        return call

    return wrap


@scaled(0.5)
def attend(query, key):
    return torch.softmax(query @ key.t(), 1)  # saves


EXPECT = {
    "node": "SoftmaxBackward0",
    "field": "result",
    "shape": [3, 4],
    "dtype": "float32",
    "writers": ["aten::mul_.Tensor"],
    "saved_version": 0,
    "version": 1,
    "made_by": "aten::_softmax",
    "module": None,
}


def run():
    torch.manual_seed(0)
    query = torch.randn(3, 2, requires_grad=True)
    attend(query, torch.randn(4, 2)).square().sum().backward()


if __name__ == "__main__":
    run()
