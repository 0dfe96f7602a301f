"""Those lines of names.py that are about families."""

OF_FAMILIES = {
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
    "videothinker/model/families/pixels.py": """
transformers.Qwen2_5_VLProcessor.image_processor
transformers.Qwen2_5_VLProcessor.video_processor
transformers.Qwen2VLImageProcessor.__call__(images)
transformers.Qwen2VLVideoProcessor.__call__(videos)
transformers.Qwen2VLImageProcessor.do_rescale
transformers.Qwen2VLImageProcessor.do_normalize
transformers.Qwen2VLImageProcessor.rescale_factor
transformers.Qwen2VLImageProcessor.image_mean
transformers.Qwen2VLImageProcessor.image_std
transformers.processing_utils.ImagesKwargs.do_rescale
transformers.processing_utils.ImagesKwargs.do_normalize
transformers.processing_utils.ImagesKwargs.return_tensors
transformers.processing_utils.VideosKwargs.do_rescale
transformers.processing_utils.VideosKwargs.do_normalize
transformers.processing_utils.VideosKwargs.do_sample_frames
transformers.processing_utils.VideosKwargs.return_tensors
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
}
