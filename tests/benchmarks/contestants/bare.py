"""The same engine and the same model code in one process, in a loop as short as it gets.

    python tests/benchmarks/contestants/bare.py FOLDER THREADS     (shapes.py does it)

No Ray, no DeepSpeed, no driver, no records, nothing that could be lost or resumed: what a framework
around these parts could reach at best without doing two things at a time.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contestants.turns import Turns


class Clips:
    """Each decoded once, as in a run."""

    def __init__(self, video: Any) -> None:
        self._video, self._known = video, dict[Path, Any]()

    def get(self, path: Path, *part: float | None) -> Any:
        """As a clip store does."""
        from videothinker.video.frames import FrameBudget, read_clip

        if path not in self._known:
            budget = FrameBudget(**self._video.model_dump())
            self._known[path] = read_clip(path, budget, *part)
        return self._known[path]


class Loop:
    """One policy, its engine and its frozen copy."""

    def __init__(self, folder: Path, threads: int) -> None:
        import numpy as np
        import torch

        from actors.vllm_engine import VllmEngine
        from videothinker.config.loading import load_config
        from videothinker.data.questions import read_questions
        from videothinker.method.paying import Rewards
        from videothinker.method.prompts import training_text
        from videothinker.model.policy import Policy, load_model
        from videothinker.model.processing import PromptBuilder

        self.task = json.loads((folder / "tasks.json").read_text())
        stage = {"name": "bare", "questions": str(folder / "questions.parquet")}
        self._config = load_config(folder / "config.yaml", [f"stages={json.dumps([stage])}"])
        self._rewards = Rewards(self._config.rewards)
        self._model = self._config.model.path

        self._builder = PromptBuilder(
            self._model, self._config.data.videos, Clips(self._config.video)
        )
        self._text = training_text
        self._questions = itertools.cycle(read_questions(folder / "questions.parquet"))
        self._engine = VllmEngine(self._model, "float32", self._config.rollout, "cpu")
        torch.set_num_threads(threads)
        self._anchor = Policy(load_model(self._model, "float32").eval().requires_grad_(False))
        self._load = lambda: Policy(load_model(self._model, "float32").train())
        self._seeds = iter(np.random.default_rng(0).integers(2**31, size=10**6).tolist())
        self._version = 0
        self.begin()

    def begin(self) -> None:
        """The base model again."""
        import torch

        self._policy = self._load()
        self._optimizer = torch.optim.AdamW(
            self._policy.parameters(), lr=self.task["learning_rate"], weight_decay=0.0
        )
        self._publish()
        self.seconds = dict.fromkeys(("sample", "score", "learn", "sync"), 0.0)

    def step(self) -> tuple[float, int]:
        """Mean reward and tokens."""
        from videothinker.method.scoring import score_groups
        from videothinker.types import RolloutGroup

        with self._timed("sample"):
            prompts = [
                self._builder.build(question, self._text(question))
                for question in itertools.islice(self._questions, self.task["prompts"])
            ]
            sampled = self._engine.sample(
                prompts,
                samples=self.task["group"],
                temperature=1.0,
                max_tokens=self.task["tokens"],
                seeds=[next(self._seeds) for _ in prompts],
            )
            groups = [
                RolloutGroup(
                    question=prompts[index].question,
                    completions=completions,
                    weights_version=self._version,
                    worker="bare",
                    seconds=0.0,
                    prompt_tokens=len(prompts[index].token_ids),
                    patches=len(prompts[index].pixel_values),
                )
                for index, completions in sorted(sampled, key=lambda pair: pair[0])
            ]
        with self._timed("score"):
            anchors = [self._opinion(*pair) for pair in zip(groups, prompts, strict=True)]
            earned = [
                self._rewards.of(group.question, [one.text for one in group.completions])
                for group in groups
            ]
            parts = list(zip(groups, earned, anchors, strict=True))
            scored = score_groups(parts, self._config.stages[0].kl)
        with self._timed("learn"):
            self._learn(scored, anchors, prompts)
        with self._timed("sync"):
            self._publish()
        rewards = [sum(values.mean() for values in group.rewards.values()) for group in scored]
        tokens = sum(len(one.token_ids) for group in groups for one in group.completions)
        return float(sum(rewards) / len(rewards)), tokens

    def _opinion(self, group: Any, prompt: Any) -> Any:
        import torch

        from videothinker.types import AnchorScores

        token_ids = [completion.token_ids for completion in group.completions]
        with torch.inference_mode():
            row = self._anchor.row([(prompt, token_ids)])
            logp, _ = self._anchor.scores(row, self._anchor.hidden(row), 1.0)
        return AnchorScores(
            logprobs=tuple(
                values[: len(ids)].numpy().copy()
                for values, ids in zip(logp, token_ids, strict=True)
            )
        )

    def _learn(self, scored: list[Any], anchors: list[Any], prompts: list[Any]) -> None:
        import torch

        from learner.rows import padded, row_sizes, tokens
        from videothinker.method.objective import policy_loss
        from videothinker.model.policy import completion_mask

        self._optimizer.zero_grad()
        rows = iter(zip(scored, anchors, prompts, strict=True))
        longest = max(tokens(group.group) for group in scored)
        for count in row_sizes(len(scored), longest):
            row = list(itertools.islice(rows, count))
            asked = [
                (prompt, [one.token_ids for one in group.group.completions])
                for group, _, prompt in row
            ]
            whole, _ = self._policy(asked, 1.0, None)
            loss = whole.new_zeros(())
            for values, (group, anchor, _) in zip(
                whole.split(self.task["group"]), row, strict=True
            ):
                lengths = [len(one.token_ids) for one in group.group.completions]
                logp = values[:, : max(lengths)]
                part, _ = policy_loss(
                    logp,
                    logp.detach(),
                    padded(anchor.logprobs, logp),
                    torch.from_numpy(group.advantages),
                    completion_mask(lengths, logp.device),
                    coefficient=self.task["coefficient"],
                    direction="attract",
                )
                loss = loss + part / len(scored)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self._policy.parameters(), 1.0)
        self._optimizer.step()

    def _publish(self) -> None:
        from videothinker.model.parts import as_part

        self._version += 1
        whole = as_part(self._version, self._policy.model.named_parameters())
        self._engine.load(self._version, [whole])

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[phase] += time.monotonic() - started


def main(folder: Path, threads: int) -> None:
    """Until nobody says go any more."""
    turns = Turns()
    loop = Loop(folder, threads)
    steps = loop.task["steps"]
    while True:
        loop.begin()
        turns.wait()
        found = [loop.step() for _ in range(steps)]
        turns.done(
            samples=steps * loop.task["prompts"] * loop.task["group"],
            tokens=sum(tokens for _, tokens in found),
            reward=sum(reward for reward, _ in found) / steps,
            phases={name: seconds / steps for name, seconds in loop.seconds.items()},
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
