"""Every name of vLLM, DeepSpeed, torch, transformers and PEFT that we rely on, by who relies on it;
those of the families stand in family_names.py.

A line is Python, read but never run. `f(a, b=..., c=1)`: we give a by position, b by name, and
leave c out, trusting that it is 1. `f(...) >> g`: what f does not name itself it hands on to g.
Without brackets: a class, function or value that is there, or what instances of a class have.
`short = a.b.c` is for the lines below it.

Left out is what every test computes with: what stands at the top of torch, of torch.nn and of
torch.nn.functional.
"""

from contract.family_names import OF_FAMILIES

RELIED_ON = OF_FAMILIES | {
    "actors/vllm_engine.py": """
vllm.envs.VLLM_ENABLE_V1_MULTIPROCESSING
vllm.envs.VLLM_LOGGING_LEVEL
vllm.envs.VLLM_NO_USAGE_STATS
vllm.envs.VLLM_ALLOW_INSECURE_SERIALIZATION
vllm.envs.VLLM_WORKER_MULTIPROC_METHOD
vllm.envs.VLLM_CPU_OMP_THREADS_BIND
vllm.LLM(
    enable_sleep_mode=...,
    model=..., load_format=..., trust_remote_code=..., dtype=..., max_model_len=..., block_size=...,
    max_num_seqs=..., max_num_batched_tokens=..., mm_device_do_normalize=...,
    mm_processor_cache_gb=..., limit_mm_per_prompt=..., logprobs_mode=..., skip_mm_profiling=...,
    worker_extension_cls=..., generation_config=..., disable_log_stats=...,
    kv_cache_memory_bytes=..., enable_lora=..., max_loras=..., max_lora_rank=...,
    hf_overrides=..., enforce_eager=..., enable_chunked_prefill=...,
    gpu_memory_utilization=..., tensor_parallel_size=..., distributed_executor_backend=...,
    speculative_config=..., seed=0,
) >> vllm.EngineArgs
vllm.LLM.llm_engine
vllm.LLM.model_config
vllm.LLM.get_tokenizer()
vllm.LLM.collective_rpc(method, args=...)
vllm.config.ModelConfig.hf_config
vllm.config.ModelConfig.head_dtype
vllm.v1.engine.llm_engine.LLMEngine.engine_core
vllm.v1.engine.llm_engine.LLMEngine.output_processor
vllm.v1.engine.llm_engine.LLMEngine.add_request(request_id, prompt, params, lora_request=...)
vllm.v1.engine.llm_engine.LLMEngine.abort_request(request_ids, internal=False)
vllm.v1.engine.llm_engine.LLMEngine.has_unfinished_requests()
vllm.v1.engine.llm_engine.LLMEngine.step()
vllm.v1.engine.llm_engine.LLMEngine.reset_prefix_cache(reset_running_requests=...)
vllm.v1.engine.llm_engine.LLMEngine.reset_encoder_cache()
vllm.v1.engine.core_client.InprocClient.engine_core
vllm.v1.engine.core.EngineCore.scheduler
vllm.v1.core.sched.scheduler.Scheduler.get_request_counts()
vllm.v1.core.sched.scheduler.Scheduler.kv_cache_manager
vllm.v1.core.kv_cache_manager.KVCacheManager.usage
vllm.v1.core.sched.output.strip_covered_mm_data
vllm.lora.request.LoRARequest(lora_name, lora_int_id, lora_path)
vllm.v1.engine.output_processor.OutputProcessor.request_states
vllm.v1.engine.output_processor.RequestState.external_req_id
vllm.v1.engine.output_processor.RequestState.request_index
vllm.v1.engine.output_processor.RequestState.detokenizer
vllm.v1.engine.detokenizer.IncrementalDetokenizer.num_output_tokens()
vllm.outputs.RequestOutput.finished
vllm.outputs.RequestOutput.request_id
vllm.outputs.RequestOutput.outputs
vllm.SamplingParams(
    n=..., temperature=..., max_tokens=..., seed=..., logprobs=..., logit_bias=...,
    stop_token_ids=..., detokenize=..., output_kind=..., top_p=1.0, top_k=0, min_p=0.0,
    presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, min_tokens=0,
    ignore_eos=False,
)
vllm.sampling_params.RequestOutputKind.FINAL_ONLY
transformers.GenerationConfig.from_pretrained(pretrained_model_name, local_files_only=...)
transformers.GenerationConfig.eos_token_id
transformers.PreTrainedTokenizerFast.backend_tokenizer
""",
    "actors/vllm_input.py": """
vllm.inputs.tokens_input(prompt_token_ids)
vllm.inputs.mm_input(prompt_token_ids, mm_kwargs, mm_hashes, mm_placeholders)
vllm.multimodal.inputs.MultiModalKwargsItems.from_hf_inputs(hf_inputs, config_by_key)
vllm.multimodal.inputs.PlaceholderRange(offset=..., length=..., is_embed=...)
vllm.multimodal.inputs.MultiModalFieldConfig.flat_from_sizes(modality, size_per_item, dim=0)
vllm.multimodal.inputs.MultiModalFieldConfig.batched(modality, keep_on_cpu=...)
transformers.BatchFeature(data)
""",
    "actors/ranks.py": """
vllm.LLM.llm_engine
vllm.LLM.collective_rpc(method, args=...)
vllm.v1.engine.llm_engine.LLMEngine.engine_core
vllm.v1.engine.core_client.InprocClient.engine_core
vllm.v1.engine.core.EngineCore.model_executor
vllm.v1.executor.multiproc_executor.MultiprocExecutor.is_failed
""",
    "actors/samples.py": """
vllm.outputs.CompletionOutput.index
vllm.outputs.CompletionOutput.token_ids
vllm.outputs.CompletionOutput.logprobs
vllm.outputs.CompletionOutput.finish_reason
vllm.logprobs.Logprob.logprob
""",
    "actors/vllm_worker.py": """
vllm.config.set_current_vllm_config(vllm_config)
vllm.config.VllmConfig.model_config
vllm.config.VllmConfig.device_config
vllm.config.ModelConfig.model
vllm.config.DeviceConfig.device
vllm.v1.worker.worker_base.WorkerBase.vllm_config
vllm.v1.worker.gpu_worker.Worker.model_runner
vllm.v1.worker.gpu.model_runner.GPUModelRunner.model
vllm.v1.worker.gpu_model_runner.GPUModelRunner.model
vllm.model_executor.models.interfaces.SupportsMultiModal.embed_multimodal
vllm.model_executor.model_loader.reload.initialize_layerwise_reload(model)
vllm.model_executor.model_loader.reload.finalize_layerwise_reload(
    model, model_config
) >> vllm.model_executor.model_loader.reload.layerwise.finalize_layerwise_processing
vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=...)
vllm.model_executor.models.qwen2_5_vl.Qwen2_5_VLForConditionalGeneration.hf_to_vllm_mapper
vllm.model_executor.models.qwen2_5_vl.Qwen2_5_VLForConditionalGeneration.load_weights(weights)
llava = vllm.model_executor.models.llava_onevision
llava.LlavaOnevisionForConditionalGeneration.hf_to_vllm_mapper
llava.LlavaOnevisionForConditionalGeneration.load_weights(weights)
vllm.model_executor.models.utils.WeightsMapper.apply_list(values)
""",
    "actors/vllm_adapter.py": """
vllm.lora.request.LoRARequest(lora_name, lora_int_id, lora_path, load_inplace=...)
vllm.v1.worker.gpu_worker.Worker.add_lora(lora_request)
vllm.config.lora.LoRAConfig.max_lora_rank
vllm.model_executor.models.utils.WeightsMapper.get_rename_mapper()
vllm.model_executor.models.utils.WeightsMapper.apply_list(values)
""",
    "actors/drafting/drafter.py": """
vllm.config.SpeculativeConfig.num_speculative_tokens
vllm.config.VllmConfig.speculative_config
vllm.config.VllmConfig.model_config
vllm.config.ModelConfig.max_model_len
vllm.config.ModelConfig.hf_config
vllm.v1.spec_decode.metadata.SpecDecodeMetadata.max_spec_len
vllm.v1.worker.gpu_worker.Worker.model_runner
vllm.v1.worker.gpu_worker.Worker.device
vllm.v1.worker.gpu_model_runner.GPUModelRunner.drafter
vllm.v1.worker.gpu_model_runner.GPUModelRunner._sample(logits, spec_decode_metadata)
""",
    "actors/drafting/mend.py": """
vllm.v1.sample.rejection_sampler.expand_batch_to_tokens(
    x, cu_num_tokens, num_tokens, replace_from=0, replace_to=0
)
vllm.v1.sample.rejection_sampler.apply_sampling_constraints(
    logits, cu_num_draft_tokens, sampling_metadata
)
""",
    "actors/vllm_sleep.py": """
vllm.v1.worker.gpu_worker.Worker.sleep(level=...)
vllm.v1.worker.gpu_worker.Worker.wake_up(tags)
vllm.v1.worker.gpu_worker.Worker.model_runner
vllm.v1.worker.gpu.model_runner.GPUModelRunner.kv_caches
vllm.v1.worker.gpu.model_runner.GPUModelRunner.model
vllm.v1.worker.gpu.model_runner.GPUModelRunner.model_state
vllm.v1.worker.gpu.model_states.default.DefaultModelState.rope_state
vllm.v1.worker.gpu.mm.rope.RopeState.positions
vllm.v1.worker.gpu_model_runner.GPUModelRunner.kv_caches
vllm.v1.worker.gpu_model_runner.GPUModelRunner.model
""",
    "learner/deepspeed_engine.py": """
deepspeed.init_distributed(dist_backend, verbose=..., dist_init_required=None)
deepspeed.constants.default_pg_timeout
deepspeed.initialize(model=..., optimizer=..., config=..., model_parameters=None)
deepspeed.zero.GatheredParameters(params, enabled=..., modifier_rank=None)
deepspeed.ops.adam.DeepSpeedCPUAdam(
    model_params, lr=..., weight_decay=..., betas=(0.9, 0.999), eps=1e-8, adamw_mode=True,
    bias_correction=True, amsgrad=False, fp32_optimizer_states=True,
)
deepspeed.DeepSpeedEngine.set_gradient_accumulation_boundary(is_boundary)
deepspeed.DeepSpeedEngine.backward(loss, scale_wrt_gas=...)
deepspeed.DeepSpeedEngine.optimizer
deepspeed.DeepSpeedEngine.step()
deepspeed.DeepSpeedEngine.was_step_applied()
deepspeed.DeepSpeedEngine.get_global_grad_norm()
deepspeed.DeepSpeedEngine.save_checkpoint(save_dir, tag=..., exclude_frozen_parameters=...)
deepspeed.DeepSpeedEngine.load_checkpoint(
    load_dir, tag=..., load_module_strict=..., load_optimizer_states=True, load_module_only=False
)
deepspeed.runtime.zero.stage_1_and_2.DeepSpeedZeroOptimizer.param_groups
deepspeed.runtime.zero.stage3.DeepSpeedZeroOptimizer_Stage3.param_groups
deepspeed.runtime.bf16_optimizer.BF16_Optimizer.param_groups
deepspeed.runtime.zero.partition_parameters.Init.ds_numel
torch.distributed.TCPStore(
    host_name, port, is_master=..., wait_for_workers=..., master_listen_fd=...
)
torch.distributed.TCPStore.host
torch.distributed.TCPStore.port
torch.distributed.TCPStore.set
torch.distributed.TCPStore.get
torch.distributed.init_process_group(
    backend, store=..., rank=..., world_size=..., timeout=..., device_id=...
)
torch.distributed.all_reduce(tensor, op=..., async_op=False)
torch.distributed.get_world_size()
torch.distributed.ReduceOp.MAX
torch.optim.Optimizer
torch.optim.AdamW(
    params, lr, weight_decay=..., fused=..., betas=(0.9, 0.999), eps=1e-8, amsgrad=False
)
torch.nn.utils.get_total_norm(tensors, norm_type=2.0)
torch.cuda.is_available()
torch.cuda.get_rng_state()
torch.cuda.set_rng_state(new_state)
transformers.Qwen2_5_VLForConditionalGeneration.gradient_checkpointing_enable()
""",
    "learner/extensions.py": """
deepspeed.accelerator.get_accelerator()
deepspeed.accelerator.cuda_accelerator.CUDA_Accelerator.create_op_builder(class_name)
deepspeed.accelerator.cpu_accelerator.CPU_Accelerator.create_op_builder(op_name)
deepspeed.ops.op_builder.CPUAdamBuilder.name
deepspeed.ops.op_builder.CPUAdamBuilder.load(verbose=...)
deepspeed.ops.op_builder.CPUAdamBuilder.is_compatible(verbose)
torch.utils.cpp_extension.get_default_build_root()
""",
    "learner/rank.py": """
torch.distributed.barrier()
torch.load(f, weights_only=...)
""",
    "learner/rows.py": """
torch.nn.utils.rnn.pad_sequence(sequences, batch_first=..., padding_value=0.0)
""",
    "videothinker/model/transfer.py": """
torch.distributed.Store
torch.distributed.Store.set
torch.distributed.Store.get
torch.distributed.Store.add
torch.distributed.Store.check
torch.distributed.Store.delete_key
torch.distributed.PrefixStore(prefix, store)
torch.distributed.TCPStore(host_name, port, is_master=..., timeout=...)
torch.distributed.ProcessGroupGloo
torch.distributed.ProcessGroupNCCL
torch.distributed.ProcessGroupNCCL.Options
torch.distributed.ProcessGroupNCCL.broadcast
torch.distributed.ProcessGroupNCCL.abort
torch.UntypedStorage._share_cuda_
torch.UntypedStorage._new_shared_cuda
torch.UntypedStorage._share_fd_cpu_
torch.UntypedStorage._new_shared_fd_cpu
torch._C._accelerator_setAllocatorSettings
torch.cuda.current_device()
torch.cuda.synchronize(device)
""",
    "videothinker/process/device.py": """
torch.cuda.current_device()
torch.cuda.get_device_properties(device)
torch.backends.cuda.enable_cudnn_sdp(enabled)
torch.cuda.empty_cache()
torch.cuda.is_initialized()
torch.cuda.memory_reserved()
torch.cuda.max_memory_reserved()
torch.cuda.utilization()
torch.cuda.get_device_name()
torch.cuda.mem_get_info()
pynvml.NVMLError
""",
    "videothinker/model/policy.py": """
torch.nn.utils.rnn.pad_sequence(sequences, batch_first=..., padding_value=0.0)
torch.utils.checkpoint.checkpoint(function, use_reentrant=...)
transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
    pretrained_model_name_or_path, dtype=..., attn_implementation=..., use_safetensors=...,
    local_files_only=..., trust_remote_code=...
)
transformers.Qwen2_5_VLForConditionalGeneration.lm_head
transformers.Qwen2_5_VLForConditionalGeneration.model
transformers.Qwen2_5_VLModel.visual
""",
    "videothinker/model/adapters.py": """
peft.LoraConfig(
    r=..., lora_alpha=..., lora_dropout=..., target_modules=..., bias="none", use_rslora=False,
    use_dora=False, rank_pattern=None, alpha_pattern=None, modules_to_save=None
)
peft.LoraConfig.to_dict()
peft.inject_adapter_in_model(peft_config, model, adapter_name=..., low_cpu_mem_usage=False)
peft.set_peft_model_state_dict(model, peft_model_state_dict, adapter_name=...)
peft.tuners.tuners_utils.BaseTunerLayer.active_adapters
peft.tuners.tuners_utils.BaseTunerLayer.enable_adapters(enabled)
peft.tuners.tuners_utils.BaseTunerLayer.set_adapter(adapter_names, inference_mode=...)
torch.random.fork_rng(devices=...)
""",
    "videothinker/model/layers.py": """
torch.autograd.Function
qwen = transformers.models.qwen2_5_vl.modeling_qwen2_5_vl
qwen.Qwen2_5_VLVisionAttention.qkv
qwen.Qwen2_5_VLVisionAttention.num_heads
qwen.Qwen2_5_VLVisionAttention.proj
qwen.Qwen2_5_VLRMSNorm.variance_epsilon
qwen.Qwen2_5_VLAttention.q_proj
qwen.Qwen2_5_VLAttention.k_proj
qwen.Qwen2_5_VLAttention.v_proj
qwen.Qwen2_5_VLAttention.o_proj
qwen.Qwen2_5_VLAttention.head_dim
siglip = transformers.models.siglip.modeling_siglip
siglip.SiglipAttention.q_proj
siglip.SiglipAttention.k_proj
siglip.SiglipAttention.v_proj
siglip.SiglipAttention.out_proj
siglip.SiglipAttention.num_heads
siglip.SiglipAttention.head_dim
""",
    "videothinker/model/attention.py": """
torch.nn.attention.varlen.varlen_attn(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, window_size=..., enable_gqa=...,
    return_aux=None, scale=None
)
""",
    "videothinker/model/checkpoint.py": """
transformers.Qwen2_5_VLForConditionalGeneration.save_pretrained(save_directory)
""",
    "videothinker/model/processing.py": """
transformers.Qwen2_5_VLProcessor.from_pretrained(
    pretrained_model_name_or_path, local_files_only=...
)
transformers.Qwen2_5_VLProcessor.apply_chat_template(
    conversation, tokenize=..., add_generation_prompt=...
)
""",
}
