"""Write doctor_gallery.md: what torch says of each script of the gallery, and what the doctor says.

    pip install . && python docs/made/doctor_gallery.py

The scripts are in tests/doctor/gallery; `tests/doctor/test_doctor_gallery.py` compares the
page with what this makes of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import libgrad

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from doctor.doctor_scripts import GALLERY, load

SCRIPTS = [
    "add_one",
    "relu_inplace_after_sigmoid",
    "dropout_inplace_after_softmax",
    "slice_assignment",
    "masked_assignment",
    "index_assignment",
    "masked_fill_scores_after_softmax",
    "clamp_after_sqrt",
    "normalize_in_place",
    "residual_add_after_activation",
    "gan_wrong_order",
    "step_before_second_backward_sgd",
    "step_before_second_backward_adam",
    "actor_critic_wrong_order",
    "rnn_hidden_kept",
    "weight_clipping",
    "target_network_copied",
    "ema_into_used_parameter",
    "batch_norm_buffers_broadcast",
    "memory_bank_enqueued",
    "detached_shares_memory",
    "trajectory_filled_in_loop",
    "out_argument",
    "gradient_penalty",
]
HEAD = """\
# A gallery of causes

What is done in the script, what torch says of it, and what [the doctor](../doctor.md) says. The
scripts are whole programs in [tests/doctor/gallery](../../tests/doctor/gallery), with more of them.
Made by `python docs/made/doctor_gallery.py`.
"""


def messages(path: Path) -> tuple[str, str]:
    """Return torch's message and the doctor's report for a script."""
    with libgrad.doctor():
        try:
            load(path).run()
        except RuntimeError as error:
            torchs, _, ours = str(error).partition("\n\n")
            folder = f"{path.parent}/"
            return torchs.partition(" Hint:")[0], ours.replace(folder, "")
    raise AssertionError(f"{path} does not fail")


def part(name: str) -> str:
    """Return the part about one script."""
    path = GALLERY / f"{name}.py"
    torchs, ours = messages(path)
    doc = " ".join((load(path).__doc__ or "").split())
    return "\n".join(
        [
            f"## {name.replace('_', ' ')}",
            "",
            f"{doc} [{path.name}](../../tests/doctor/gallery/{path.name})",
            "",
            f"> {torchs}",
            "",
            "```text",
            ours,
            "```",
            "",
        ]
    )


def page() -> str:
    """Return the whole page."""
    torch.manual_seed(0)
    return HEAD + "\n" + "\n".join(map(part, SCRIPTS))


if __name__ == "__main__":
    (HERE / "doctor_gallery.md").write_text(page(), encoding="utf-8")
