"""An assignment to an attribute is an in-place copy: the class has a property."""

import torch


class Field:
    def __init__(self, n):
        self.store = torch.ones(n)

    @property
    def values(self):
        return self.store

    @values.setter
    def values(self, new):
        self.store[:] = new  # writes


EXPECT = {
    "node": "MulBackward0",
    "field": "other",
    "shape": [4],
    "dtype": "float32",
    "writers": ["aten::copy_"],
    "saved_version": 1,
    "version": 2,
    "made_by": "aten::copy_",
    "module": None,
}


def run():
    torch.manual_seed(0)
    speed = torch.randn(4, requires_grad=True)
    field = Field(4)
    for _ in range(2):
        field.values = field.values + 0.1 * speed * field.values  # saves
    field.values.sum().backward()


if __name__ == "__main__":
    run()
