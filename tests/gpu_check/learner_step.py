"""A group of the paper's shape through the learner's forward and backward pass: time and memory.

It needs torch and transformers only, and older ones than ours will do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from paper_shape import made_up_group
from traced import model_of

from gpu_check.environment import matrix_rate
from gpu_check.part import Finding, answer, seconds
from videothinker.config.loading import load_config
from videothinker.model.families.known import KNOWN
from videothinker.model.families.qwen2_5_vl import Qwen25Shape
from videothinker.model.flops import forward_flops
from videothinker.model.policy import Policy
from videothinker.packages import ROOT
from videothinker.planning.memory import largest, total
from videothinker.planning.passes import GB, row_phases
from videothinker.process.device import settle

SHAPES = {
    "cuda": KNOWN["Qwen2.5-VL-3B-Instruct"],
    "cpu": Qwen25Shape(
        hidden=128,
        layers=2,
        heads=1,
        kv_heads=1,
        head_dim=128,
        intermediate=256,
        vocabulary=1024,
        tied=True,
        vision_hidden=128,
        vision_layers=1,
        vision_intermediate=128,
    ),
}
CAP_GB = 48
MFU, MEMORY = 0.25, 1.05
"""What is asked for: a share of the measured rate, and of the planned memory."""
OVERRIDES = {
    "cuda": [],
    "cpu": [
        *("sampling.max_tokens=8", "sampling.group_size=2"),
        *("video.min_frames=2", "video.max_frames=2"),
    ],
}


def learner_step(device: torch.device, _: Path) -> Finding:
    settle("cuda" if device.type == "cuda" else "cpu")
    shape = SHAPES[device.type]
    file = ROOT / "configs" / "cdpo_2xa6000.yaml"
    config = load_config(file, OVERRIDES[device.type])
    load = largest(config, shape)
    model = model_of(shape).to_empty(device=device).train()
    for parameter in model.parameters():
        torch.nn.init.uniform_(parameter, -0.02, 0.02)
    for buffer in model.buffers():
        torch.nn.init.uniform_(buffer, 0.0, 1.0)
    model.gradient_checkpointing_enable()
    policy = Policy(model)
    for parameter in policy.parameters():  # as with an optimizer on the host: they leave at once
        parameter.register_post_accumulate_grad_hook(lambda p: setattr(p, "grad", None))
    lengths = (load.completion,) * load.group
    grid = (load.patches // 256, 16, 16)
    group = made_up_group(model, grid, load.prompt - load.visual - 15, lengths)
    if device.type == "cuda":
        share = min(1.0, CAP_GB * GB / torch.cuda.get_device_properties(device).total_memory)
        torch.cuda.set_per_process_memory_fraction(share, device)
        torch.cuda.reset_peak_memory_stats(device)

    def work() -> None:
        logp, _ = policy([group], 1.0)
        logp.sum().backward()

    took = seconds(work, device, rounds=3 if device.type == "cuda" else 1)
    passes = 3 * sum(forward_flops(shape, load.patches, load.prompt, lengths).values())
    mfu = passes / took / matrix_rate(device)
    figures = {"seconds": took, "MFU": mfu, "tokens": load.prompt + sum(lengths)}
    said = f"{took:.2g} s, {mfu:.2f} of the measured rate"
    if device.type == "cpu":
        goal = "on a CPU only that it runs"
        return Finding(passed=took > 0, said=said, goal=goal, figures=figures)
    planned = shape.parameters * 2 / GB
    planned += max(map(total, row_phases(config, shape, load.longest, exact=False)))
    peak = torch.cuda.max_memory_allocated(device) / GB
    figures |= {"peak GB": peak, "planned GB": planned}
    return Finding(
        passed=mfu > MFU and peak < MEMORY * planned,
        said=f"{said}; {peak:.1f} GB under a cap of {CAP_GB}",
        goal=f"above {MFU:g}; below {MEMORY:g} of the planned {planned:.1f} GB",
        figures=figures,
    )


if __name__ == "__main__":
    answer(learner_step)
