"""Every name of vLLM, DeepSpeed, torch and transformers that we rely on, by who relies on it.

A line is Python, read but never run. `f(a, b=..., c=1)`: we give a by position, b by name, and
leave c out, trusting that it is 1. `f(...) >> g`: what f does not name itself it hands on to g.
Without brackets: a class, function or value that is there, or what instances of a class have.
`short = a.b.c` is for the lines below it.

Left out is what every test computes with: what stands at the top of torch, of torch.nn and of
torch.nn.functional.
"""

RELIED_ON = {
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
    kv_cache_memory_bytes=..., hf_overrides=..., enforce_eager=..., enable_chunked_prefill=...,
    gpu_memory_utilization=..., tensor_parallel_size=..., distributed_executor_backend=..., seed=0,
) >> vllm.EngineArgs
vllm.LLM.llm_engine
vllm.LLM.model_config
vllm.LLM.get_tokenizer()
vllm.LLM.collective_rpc(method, args=...)
vllm.config.ModelConfig.hf_config
vllm.config.ModelConfig.head_dtype
vllm.v1.engine.llm_engine.LLMEngine.engine_core
vllm.v1.engine.llm_engine.LLMEngine.output_processor
vllm.v1.engine.llm_engine.LLMEngine.add_request(request_id, prompt, params)
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
deepspeed.DeepSpeedEngine.save_checkpoint(save_dir, tag=..., exclude_frozen_parameters=False)
deepspeed.DeepSpeedEngine.load_checkpoint(
    load_dir, tag=..., load_module_strict=True, load_optimizer_states=True, load_module_only=False
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
    "videothinker/model/families/known.py": """
transformers.AutoConfig.from_pretrained(
    pretrained_model_name_or_path, local_files_only=..., trust_remote_code=...
)
""",
    "videothinker/model/families/llava_onevision.py": """
llava = transformers.models.llava_onevision.modeling_llava_onevision
siglip = transformers.models.siglip.modeling_siglip
transformers.LlavaOnevisionForConditionalGeneration
transformers.LlavaOnevisionConfig.image_token_index
transformers.LlavaOnevisionConfig.video_token_index
transformers.LlavaOnevisionConfig.vision_config
transformers.SiglipVisionConfig.image_size
transformers.SiglipVisionConfig.patch_size
transformers.LlavaOnevisionProcessor
transformers.LlavaOnevisionProcessor.tokenizer
transformers.LlavaOnevisionProcessor.image_processor
transformers.LlavaOnevisionProcessor.video_processor
transformers.LlavaOnevisionImageProcessor.__call__(images)
transformers.LlavaOnevisionVideoProcessor.__call__(videos)
transformers.processing_utils.VideosKwargs.do_sample_frames
transformers.processing_utils.VideosKwargs.return_tensors
transformers.LlavaOnevisionModel.vision_tower
transformers.LlavaOnevisionModel.multi_modal_projector
transformers.LlavaOnevisionModel.image_newline
transformers.LlavaOnevisionModel.language_model
transformers.LlavaOnevisionModel.get_input_embeddings()
transformers.LlavaOnevisionModel.apply_pooling(image_features)
transformers.SiglipVisionModel.embeddings
transformers.SiglipVisionModel.encoder
transformers.SiglipVisionModel.post_layernorm
siglip.SiglipVisionEmbeddings.forward(pixel_values)
siglip.SiglipEncoder.layers
siglip.SiglipEncoderLayer.forward(hidden_states, attention_mask)
siglip.SiglipEncoderLayer.self_attn
llava.LlavaOnevisionMultiModalProjector.forward(image_features)
transformers.Qwen2Model.layers
transformers.Qwen2Model.norm
transformers.Qwen2Model.rotary_emb
transformers.models.qwen2.modeling_qwen2.Qwen2DecoderLayer.forward(
    hidden_states, attention_mask=..., position_embeddings=...
)
""",
    "videothinker/model/families/qwen.py": """
qwen = transformers.models.qwen2_5_vl.modeling_qwen2_5_vl
transformers.Qwen2_5_VLConfig.image_token_id
transformers.Qwen2_5_VLConfig.video_token_id
transformers.Qwen2_5_VLConfig.vision_start_token_id
transformers.Qwen2_5_VLConfig.vision_end_token_id
transformers.Qwen2_5_VLConfig.vision_config
transformers.models.qwen2_5_vl.Qwen2_5_VLVisionConfig.spatial_merge_size
transformers.models.qwen2_5_vl.Qwen2_5_VLVisionConfig.temporal_patch_size
transformers.models.qwen2_5_vl.Qwen2_5_VLVisionConfig.patch_size
transformers.models.qwen2_5_vl.Qwen2_5_VLVisionConfig.in_channels
transformers.Qwen2_5_VLProcessor.tokenizer
transformers.Qwen2_5_VLProcessor.image_token
transformers.Qwen2_5_VLProcessor.video_token
transformers.Qwen2_5_VLProcessor.__call__(text=..., images=..., videos=...)
transformers.processing_utils.VideosKwargs.video_metadata
transformers.processing_utils.VideosKwargs.do_sample_frames
transformers.processing_utils.VideosKwargs.do_resize
transformers.processing_utils.ImagesKwargs.do_resize
transformers.processing_utils.VideosKwargs.return_tensors
transformers.video_utils.VideoMetadata
transformers.Qwen2_5_VLModel.visual
transformers.Qwen2_5_VLModel.language_model
qwen.Qwen2_5_VisionTransformerPretrainedModel.blocks
qwen.Qwen2_5_VisionTransformerPretrainedModel.patch_embed
qwen.Qwen2_5_VisionTransformerPretrainedModel.rotary_pos_emb
qwen.Qwen2_5_VisionPatchEmbed.proj
qwen.Qwen2_5_VLVisionBlock.attn
qwen.Qwen2_5_VLRMSNorm.variance_epsilon
qwen.Qwen2_5_VLDecoderLayer.self_attn
transformers.Qwen2_5_VLTextModel.layers
transformers.Qwen2_5_VLTextModel.rotary_emb
transformers.Qwen2_5_VLForConditionalGeneration.lm_head
""",
    "videothinker/model/families/qwen2_5_vl.py": """
vision = transformers.vision_utils
qwen = transformers.models.qwen2_5_vl.modeling_qwen2_5_vl
transformers.Qwen2_5_VLForConditionalGeneration
transformers.Qwen2_5_VLProcessor
transformers.models.qwen2_5_vl.Qwen2_5_VLVisionConfig.tokens_per_second
vision.get_vision_cu_seqlens(grid_thw, merge_temporal=False)
vision.get_vision_position_ids(grid_thw, spatial_merge_size, include_temporal=False)
vision.get_vision_window_index(grid_thw, spatial_merge_size, window_size, patch_size)
qwen.Qwen2_5_VisionTransformerPretrainedModel.patch_size
qwen.Qwen2_5_VisionTransformerPretrainedModel.spatial_merge_size
qwen.Qwen2_5_VisionTransformerPretrainedModel.window_size
transformers.Qwen2_5_VLModel.get_input_embeddings()
qwen.Qwen2_5_VisionTransformerPretrainedModel.forward(hidden_states, grid_thw)
transformers.modeling_outputs.BaseModelOutputWithPooling.pooler_output
transformers.Qwen2_5_VLTextModel.forward(
    inputs_embeds=..., position_ids=..., attention_mask=..., use_cache=...
)
transformers.modeling_outputs.BaseModelOutputWithPast.last_hidden_state
""",
    "videothinker/model/families/qwen2_vl.py": """
vision = transformers.vision_utils
transformers.Qwen2VLForConditionalGeneration
transformers.Qwen2VLProcessor
vision.get_vision_cu_seqlens(grid_thw, merge_temporal=False)
vision.get_vision_position_ids(grid_thw, spatial_merge_size, include_temporal=False)
""",
    "videothinker/model/families/qwen3_vl.py": """
vision = transformers.vision_utils
qwen = transformers.models.qwen3_vl.modeling_qwen3_vl
transformers.Qwen3VLForConditionalGeneration
transformers.Qwen3VLProcessor
vision.get_vision_cu_seqlens(grid_thw, merge_temporal=False)
vision.get_vision_position_ids(grid_thw, spatial_merge_size, include_temporal=False)
vision.get_vision_interpolation_indices_and_weights(
    grid_thw, num_grid_per_side=..., mode=..., align_corners=..., spatial_merge_size=...,
    padding="border"
)
qwen.Qwen3VLVisionModel.num_grid_per_side
qwen.Qwen3VLVisionModel.interpolation_mode
qwen.Qwen3VLVisionModel.interpolation_align_corners
qwen.Qwen3VLVisionModel.spatial_merge_size
qwen.BaseModelOutputWithDeepstackFeatures.pooler_output
qwen.BaseModelOutputWithDeepstackFeatures.deepstack_features
transformers.Qwen3VLModel.language_model
transformers.Qwen3VLModel.get_input_embeddings()
transformers.Qwen3VLTextModel.layers
transformers.Qwen3VLTextModel.norm
transformers.Qwen3VLTextModel.rotary_emb
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
