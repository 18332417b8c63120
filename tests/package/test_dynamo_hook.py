"""What waits for torch._dynamo runs once, after it, and never imports it."""

from __future__ import annotations

from support.parity import python

HEAD = """
import sys, warnings
import libgrad
from libgrad._dynamo import on_dynamo
assert "torch._dynamo" not in sys.modules
seen = []
"""


def test_callbacks_run_once_after_the_first_import_and_one_that_fails_is_a_warning() -> None:
    code = HEAD + (
        """
import importlib.util
def fails():
    raise KeyError("mine")
on_dynamo(fails)
on_dynamo(lambda: seen.append("a"))
on_dynamo(lambda: seen.append(hasattr(sys.modules["torch._dynamo"], "reset")))
importlib.util.find_spec("torch._dynamo")  # looks, and imports nothing
assert seen == [] and "torch._dynamo" not in sys.modules
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch._dynamo
print([str(w.message).split(":")[0] for w in caught if "KeyError('mine')" in str(w.message)])
on_dynamo(lambda: seen.append("b"))
print(seen)
try:
    on_dynamo(fails)
except KeyError as error:
    print(error)
spec = torch._dynamo.__spec__
assert spec.loader is torch._dynamo.__loader__
assert type(spec.loader).__module__.startswith(("importlib", "_frozen_importlib"))
assert not any(type(f).__module__ == "libgrad._dynamo" for f in sys.meta_path)
"""
    )
    lines = ["['libgrad could not prepare torch.compile']", "['a', True, 'b']", "'mine'"]
    assert python(code).splitlines() == lines


def test_callbacks_wait_for_an_import_on_another_thread() -> None:
    code = HEAD + (
        """
import threading
on_dynamo(lambda: seen.append("first"))
thread = threading.Thread(target=lambda: __import__("torch._dynamo"))
thread.start()
while "torch._dynamo" not in sys.modules:
    pass
on_dynamo(lambda: seen.append(hasattr(sys.modules["torch._dynamo"], "reset")))
thread.join()
print(sorted(map(str, seen)))
"""
    )
    assert python(code) == "['True', 'first']\n"
