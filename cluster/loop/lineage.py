"""summary.json: which models a run made, from what, and how well each answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from cluster.loop.states import require_anchor
from videothinker.config.hub_names import hub_source
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.asked import labels_of
from videothinker.errors import VideoThinkerError
from videothinker.files import file_digest, read_json
from videothinker.method.paying import described
from videothinker.model.card import ModelLineage, Source
from videothinker.model.checkpoint import model_digest
from videothinker.run.directory import RunDirectory


class Lineage:
    """The run's results so far; on disk after every change, so that a resumed run has them."""

    def __init__(self, run: RunDirectory, config: RunConfig) -> None:
        self._run = run
        self._config = config
        new = {"name": config.name, "started": time.time(), "models": [], "stages": []}
        self._summary: dict[str, Any] = read_json(run.path / "summary.json") or new

    def finished(self, name: str) -> bool:
        """Whether a model stands, with its results; a stage is finished when its model is."""
        return any(model["name"] == name for model in self._summary["models"])

    def note_rewards(self) -> bool:
        """Keep what pays from now on; whether that was something else when the run went last."""
        paying = [described(reward) for reward in self._config.rewards]
        known = self._summary.setdefault("rewards", [])
        changed = bool(known) and known[-1] != paying
        if known[-1:] != [paying]:
            known.append(paying)
            self._run.summary(self._summary)
        return changed

    def note_draw(self, stage: str, about: dict[str, Any]) -> bool:
        """Keep which questions a stage draws; whether that was not known yet."""
        known = self._summary.setdefault("draws", {})
        new = bool(known.get(stage) != about)
        known[stage] = about
        self._run.summary(self._summary)
        return new

    def anchor(self, stage: StageConfig) -> Path:
        """The checkpoint that a stage is repelled from or attracted to; where that is the policy of
        some steps ago, what it is at first."""
        if stage.kl.anchor in ("base", "policy"):
            return self._config.model.path
        if stage.kl.anchor in [earlier.name for earlier in self._config.stages]:
            return self._run.stage(stage.kl.anchor) / "model"
        return Path(stage.kl.anchor).absolute()

    def asked(self, stage: StageConfig, done: int) -> list[Path]:
        """Who scores after so many steps: the anchor, and the model that is compared with it."""
        if not stage.kl.asks:
            return []
        anchor = self.anchor(stage)
        if stage.kl.moves and (step := stage.kl.anchored_after(done)):
            anchor = require_anchor(self._run.stage(stage.name), step)
        return [anchor, *[self._config.model.path] * stage.kl.compares]

    def of_model(self, stage: StageConfig, step: int) -> ModelLineage:
        """What a stage's exported model says of itself, as it is after a step."""
        config, lora = self._config, self._config.learner.lora
        trained = ModelLineage(
            run=config.name,
            stage=stage.name,
            steps=step,
            seed=config.seed,
            base=_source(config.model.path),
            data=[{"path": str(file), "digest": file_digest(file)} for file in self._asked(stage)],
            kl=stage.kl.model_dump(),
            anchor=self._anchor_source(stage),
            rewards=[described(reward) for reward in config.rewards],
            group_size=config.sampling.group_size,
            prompts_per_step=stage.prompts_per_step,
            learning_rate=config.learner.learning_rate,
            temperature=config.sampling.temperature,
            video=config.video.model_dump(),
            wording=config.prompts.wording,
        )
        if stage.draw.by != "uniform":
            trained |= {"draw": stage.draw.said}
        if refill := config.sampling.refill:
            trained |= {"refill": refill}
        return trained if lora is None else trained | {"lora": lora.model_dump(mode="json")}

    def _asked(self, stage: StageConfig) -> list[Path]:
        """A stage's questions, and what labelled them where that was a probe."""
        labels = labels_of(self._config, self._run.path, stage)
        return [stage.questions, *([] if labels is None else [labels])]

    def add_stage(self, stage: StageConfig, steps: int, seconds: float) -> None:
        """A stage made its last step."""
        entry = {
            "name": stage.name,
            "steps": steps,
            "seconds": seconds,
            "kl": stage.kl.model_dump(),
            "anchor": self._anchor_source(stage),
        }
        self._keep("stages", entry)

    def add_model(
        self, name: str, path: Path, evaluation: dict[str, Any] | None, written: str | None = None
    ) -> None:
        """A model with its address by content and its results. `written`: the digest that it had
        when it was exported, which is compared with what the disk has."""
        if written is not None and model_digest(path, from_disk=True) != written:
            raise VideoThinkerError(
                f"{path}: not as it was written, and its stage's states still stand. Look at the"
                " disk; the same command goes on from the newest state and exports it again"
            )
        self._keep("models", {"name": name, **_source(path), "evaluation": evaluation})

    def count_videos(self, counts: dict[str, int]) -> None:
        """Videos decoded, found in the cache and failed since the run was last started."""
        self._summary["videos"] = counts
        self._run.summary(self._summary)

    def finish(self, spilled_bytes: int | None) -> dict[str, Any]:
        """Close the summary, with what the object store wrote to disk, and return it."""
        self._summary["spilled_bytes"] = spilled_bytes
        self._summary["finished"] = time.time()
        self._run.summary(self._summary)
        return self._summary

    def _anchor_source(self, stage: StageConfig) -> Source | None:
        if not stage.kl.asks:
            return None
        return _source(self.anchor(stage))

    def _keep(self, kind: str, entry: dict[str, Any]) -> None:
        others = [known for known in self._summary[kind] if known["name"] != entry["name"]]
        self._summary[kind] = [*others, entry]
        self._run.summary(self._summary)


def _source(model: Path) -> Source:
    source = Source(path=str(model), digest=model_digest(model))
    return source | {"hub": name} if (name := hub_source(model)) else source
