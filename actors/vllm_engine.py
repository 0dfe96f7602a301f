"""The only place that imports vLLM: an engine in this process that samples whole groups."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actors.drafting.drafter import begin_drafting, drafting_options
from actors.drafting.memory import Memory
from actors.engine_thread import EngineThread
from actors.ranks import Ranks, first_fault, rank_options, threads_of_ranks
from actors.samples import History, completion
from actors.vllm_adapter import NAME, NUMBER, adapter_options
from actors.vllm_input import engine_input
from videothinker import cpu_torch
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import Device, RolloutConfig, adapter_way
from videothinker.errors import WeightsError
from videothinker.model.adapters import lora_of, tensors_of
from videothinker.model.checkpoint import SAFE, base_of, is_adapter, require_safe
from videothinker.model.families.known import family_in
from videothinker.model.parts import as_part
from videothinker.model.shape import DECODED_AT_ONCE, PREFILL_AT_ONCE
from videothinker.types import (
    INITIAL_VERSION,
    SHOWN_AT_MOST,
    Completion,
    Prompt,
    Route,
    WeightsPart,
)

ENGINE_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine core lives in this process
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "0",  # whatever the shell says
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork would inherit locks of our threads
}
CPU_ENVIRONMENT = {
    "TORCHDYNAMO_DISABLE": "1",
    # threads go where the system puts them: ranks of an engine would each need a memory node
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""vLLM reads both for the first engine of a process, and not again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineWork:
    """What lies in an engine; requests are single completions."""

    running: int
    waiting: int
    cache_share: float
    """Part of the key-value cache that is in use."""


class VllmEngine:
    """Samples completions and takes new weights, also in the middle of them.

    Its methods may be called from several threads. What an engine remembers, and what shares a step
    with what, moves the last bits of its log-probs: a call of `sample` that has the engine to
    itself begins without memory, and depends on its arguments and the weights alone; with drafts
    also on the completions before it, its distribution does not.
    """

    def __init__(
        self,
        model: Path,
        dtype: str,
        config: RolloutConfig,
        device: Device,
        engine_share: float = 0.0,
        lora: LoraConfig | None = None,
    ) -> None:
        """`engine_share` is the part of a GPU that it may take, the rest being others'. With `lora`
        what comes later are adapters of the model, which may itself be one.
        """
        self.version = INITIAL_VERSION
        """Of the weights it holds."""
        self._asleep = False
        self._requests = 0
        self._histories: dict[str, History] = {}
        self._ranks: Ranks | None = None
        self._thread = EngineThread(self._step, self._abort, self.lost)
        self._adapter: Any = None
        """What requests name, once there is an adapter beside the weights."""
        self._beside = False
        self._drafts: Memory | None = None  # what it guesses from; that alone it never forgets
        start = partial(self._start, base_of(model), dtype, config, device, engine_share)
        if is_adapter(model):
            lora = lora or lora_of(model)
        self._thread.call(partial(start, lora))
        if is_adapter(model):
            named = self._family.released_name
            own = ((named(name), tensor) for name, tensor in tensors_of(model).items())
            self.load(self.version, [as_part(self.version, own)])

    def _start(
        self,
        model: Path,
        dtype: str,
        config: RolloutConfig,
        device: Device,
        engine_share: float,
        lora: LoraConfig | None,
    ) -> None:
        require_safe(model)
        cpu_torch.install()
        ranks = config.tensor_parallel
        os.environ.update(ENGINE_ENVIRONMENT)
        if device == "cpu":
            os.environ.update(CPU_ENVIRONMENT | threads_of_ranks(ranks))
        from vllm import LLM

        keep_pixels()
        self._llm = LLM(**engine_options(model, dtype, config, device, engine_share, lora))
        self._engine = self._llm.llm_engine
        self._ranks = Ranks(self._llm, ranks, device)
        self._llm.collective_rpc("flatten_features")
        if lora is not None:
            merged = adapter_way(config, lora, device) == "merged"
            self._beside = not merged
            self._llm.collective_rpc("expect_adapters", args=(lora, merged))
        # the library's own: what wraps it takes four times as long
        self._tokenizer = self._llm.get_tokenizer().backend_tokenizer
        hf_config = self._llm.model_config.hf_config
        self._family = family_in(hf_config)
        self._end_tokens = end_tokens(model)
        self._bias = dict.fromkeys(self._family.forbidden, -100.0)
        if config.drafts:
            [self._drafts] = self._llm.collective_rpc(begin_drafting)
            self._bias = {}  # its drafter forbids the same

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        samples: int,
        temperature: float,
        max_tokens: int,
        seeds: Sequence[int],
    ) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """Yield (index, completions) of each prompt as soon as its whole group is complete."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        requests = [
            (
                engine_input(prompt, self._family),
                SamplingParams(
                    n=samples,
                    temperature=temperature,
                    max_tokens=max_tokens,
                    seed=seed,
                    logprobs=0,
                    logit_bias=self._bias,
                    stop_token_ids=self._end_tokens,
                    detokenize=False,  # or each log-prob is given its text, too
                    output_kind=RequestOutputKind.FINAL_ONLY,
                ),
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return self._thread.finished(partial(self._add, requests))

    def load(self, version: int, parts: Sequence[WeightsPart]) -> None:
        """Replace the weights between two steps; running completions go on with the new ones."""
        self._thread.call(partial(self._awake, version, partial(self._load, version, parts)))

    def receive(self, version: int, route: Route) -> None:
        """The same with what the learner sends meanwhile; where that breaks off, the engine may
        hold a part of it, and does nothing more.
        """
        self._thread.call(partial(self._awake, version, partial(self._receive, version, route)))

    def sleep(self) -> None:
        """Let go of weights and cache, once nothing is under way: until others come, by `load` or
        `receive`, it refuses to sample.
        """
        self._thread.call(self._sleep)

    def work(self) -> EngineWork:
        """How much it has to do at this moment: lengths of lists, so that any thread may ask.

        An engine that is in-process exports no figures of its own, so its scheduler is asked.
        """
        scheduler = self._engine.engine_core.engine_core.scheduler
        running, waiting = scheduler.get_request_counts()
        share = scheduler.kv_cache_manager.usage
        return EngineWork(running=running, waiting=waiting, cache_share=share)

    @property
    def ranks(self) -> Ranks:
        """Where its model lies."""
        assert self._ranks is not None, "it has started"
        return self._ranks

    def lost(self) -> str:
        """Why nothing can be expected of it any more; may be asked on any thread."""
        return "" if self._ranks is None else self._ranks.lost()

    # on the engine's thread

    def _add(self, requests: Sequence[tuple[Any, Any]]) -> list[str]:
        """All of them or, where vLLM refuses one, none."""
        if self._asleep:
            raise WeightsError("it is asleep and holds no weights; publish before generating")
        if self._thread.idle:
            self._forget()
        names: list[str] = []
        with ExitStack() as on_error:
            on_error.callback(self._abort, names)
            for prompt, params in requests:
                self._requests += 1
                name = str(self._requests)
                self._engine.add_request(name, prompt, params, lora_request=self._adapter)
                names.append(name)
                self._histories[name] = [(self.version, {})]
            on_error.pop_all()
        return names

    def _abort(self, names: list[str]) -> None:
        self._engine.abort_request(names)
        for name in names:
            del self._histories[name]

    def _step(self) -> Iterator[tuple[str, tuple[Completion, ...]]]:
        if not self._engine.has_unfinished_requests():
            raise RuntimeError("it lost its requests")
        self.ranks.look()
        for output in self._engine.step():
            if output.finished:
                history = self._histories.pop(output.request_id)
                if self._drafts is not None:
                    for one in output.outputs:
                        self._drafts.remember(output.prompt_token_ids, one.token_ids)
                yield (
                    output.request_id,
                    tuple(completion(one, history, self._decode) for one in output.outputs),
                )

    def _load(self, version: int, parts: Sequence[WeightsPart]) -> None:
        try:
            fault = self.ranks.replace(version, parts)
        except Exception as error:
            raise self._in_half(version, error) from error
        if fault is not None:
            raise WeightsError(
                f"weights version {version} were not loaded: {fault}. Restart the run "
                "from its last state; the engine still holds the version before"
            )
        self._took(version)

    def _receive(self, version: int, route: Route) -> None:
        try:
            faults = self._llm.collective_rpc("receive_weights", args=(version, route))
        except Exception as error:
            raise self._in_half(version, error) from error
        if (fault := first_fault(faults)) is not None:
            raise WeightsError(f"weights version {version} were refused: {fault}")
        self._took(version)

    def _in_half(self, version: int, error: Exception) -> WeightsError:
        """Nothing is to be sampled with what it holds now."""
        reason = f"weights version {version} came in half: {error}"
        self._thread.fail(reason)
        return WeightsError(reason)

    def _took(self, version: int) -> None:
        """Nothing that the old weights made counts any more."""
        if self._beside and self._adapter is None:
            from vllm.lora.request import LoRARequest

            self._adapter = LoRARequest(NAME, NUMBER, "is there already")
        self._forget()
        self.ranks.look()
        self.version = version
        for history in self._histories.values():
            history.append((self.version, {}))
        for running in self._engine.output_processor.request_states.values():
            _, tokens = self._histories[running.external_req_id][-1]
            tokens[running.request_index] = running.detokenizer.num_output_tokens()

    def _forget(self) -> None:
        """Drop cached prefixes and vision features; running requests compute theirs again.

        The prefixes first, because that makes running requests give back their vision features.
        """
        self._engine.reset_prefix_cache(reset_running_requests=True)
        self._engine.reset_encoder_cache()

    def _sleep(self) -> None:
        if not self._thread.idle:
            raise WeightsError("it was to sleep while requests lie in it")
        if not self._asleep:
            self._asleep = True
            self._forget()
            self._llm.collective_rpc("fall_asleep")

    def _awake(self, version: int, load: Callable[[], None]) -> None:
        """Load weights: one that sleeps has memory for them first, and for its cache when they are
        there. Where that fails it holds neither these nor others, and does nothing more.
        """
        if not self._asleep:
            load()
            return
        try:
            self._llm.collective_rpc("awaken", args=("weights",))
            load()
            self._llm.collective_rpc("awaken", args=("kv_cache",))
        except Exception as error:
            reason = f"it did not wake with weights version {version}: {error}"
            self._thread.fail(reason)
            raise WeightsError(reason) from error
        self._asleep = False

    # between vLLM's records and ours

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(token_ids, skip_special_tokens=True))


def engine_options(
    model: Path,
    dtype: str,
    config: RolloutConfig,
    device: Device,
    engine_share: float = 0.0,
    lora: LoraConfig | None = None,
) -> dict[str, Any]:
    """What vLLM makes an engine from."""
    # vLLM's own limits follow the card
    options: dict[str, Any] = {"max_num_batched_tokens": PREFILL_AT_ONCE[device]}
    if config.sleep and device == "cuda":  # on a CPU vLLM has no such memory
        options["enable_sleep_mode"] = True
    if device == "cpu":
        options = {
            "enforce_eager": True,
            # a seeded request whose prompt is split over two steps fails there ("CPU Generator
            # does not use offset")
            "enable_chunked_prefill": False,
            # twice: so many tokens of features it also keeps, and splits a prompt for whose videos
            # there is no room beside those of others that begin with it
            "max_num_batched_tokens": max(2 * config.max_model_len, PREFILL_AT_ONCE[device]),
        }
    elif engine_share:
        options["gpu_memory_utilization"] = engine_share
    return (
        options
        | {
            "model": str(model),
            "load_format": "safetensors",
            "trust_remote_code": False,
            "dtype": dtype,
            "hf_overrides": {"head_dtype": "float32"},  # as the learner's: what it rounds, is lost
            "max_model_len": config.max_model_len,
            "block_size": 32,
            "max_num_seqs": DECODED_AT_ONCE,
            "mm_device_do_normalize": False,  # prompts arrive normalised
            "mm_processor_cache_gb": 0,  # or it keeps up to 4 GiB of pixels
            "limit_mm_per_prompt": {"image": SHOWN_AT_MOST, "video": SHOWN_AT_MOST},
            # it would try out the largest picture that the processor lets through, far larger than
            # any prompt, to see what is left for a cache whose size we give
            "skip_mm_profiling": True,
            "logprobs_mode": "processed_logprobs",  # of the distribution that is sampled from
            "worker_extension_cls": "actors.vllm_adapter.AdapterUpdate",
            "generation_config": "vllm",  # a checkpoint's own file must not change the sampling
            "disable_log_stats": True,
            "kv_cache_memory_bytes": int(config.cache_gb * 2**30 / config.tensor_parallel),
        }
        | drafting_options(config.drafts)
        | rank_options(config.tensor_parallel)
        | adapter_options(config, lora, device)
    )


def keep_pixels() -> None:
    """Have vLLM's runner keep the pixels of every request.

    It withholds them from a request whose prompt is in the prefix cache when it begins, and
    then fails when it has to compute that prompt again: after weights that arrived in the middle of
    it, or where the cache was too small for all that runs.
    """
    from vllm.v1.core.sched import output

    output.strip_covered_mm_data = lambda features, *_, **__: features


def end_tokens(model: Path) -> list[int]:
    """Every token that ends a completion, as the checkpoint declares them."""
    from transformers import GenerationConfig

    declared = GenerationConfig.from_pretrained(model, **SAFE).eos_token_id
    return [declared] if isinstance(declared, int) else list(declared)
