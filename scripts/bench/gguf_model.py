#!/usr/bin/env python3
"""Writes a model folder that internal/tools/randommodel made as GGUF, for llama-bench: gguf_model.py FOLDER OUT.gguf f32|bf16|q8_0.

llama-bench draws its own tokens, so the file names no vocabulary, only its size. GGUF's own package lies in llama.cpp's source.
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors import safe_open

folder, out, kind = Path(sys.argv[1]), sys.argv[2], sys.argv[3].upper()
config = json.loads((folder / "config.json").read_text())
writer = gguf.GGUFWriter(out, "qwen2", use_temp_file=False)
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(config["hidden_size"])
writer.add_block_count(config["num_hidden_layers"])
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_head_count(config["num_attention_heads"])
writer.add_head_count_kv(config["num_key_value_heads"])
writer.add_rope_freq_base(config["rope_theta"])
writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
writer.add_vocab_size(config["vocab_size"])
writer.add_tokenizer_model("no_vocab")
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])


def f32(tensor):
    """bf16 in the file, which NumPy does not know, is read as its bits."""
    return tensor.float().numpy()


with safe_open(folder / "model.safetensors", "pt") as weights:
    written = []
    for name in weights.keys():
        quantization = gguf.GGMLQuantizationType[kind if len(weights.get_slice(name).get_shape()) == 2 else "F32"]
        shape = tuple(weights.get_slice(name).get_shape())
        bytes_shape = gguf.quant_shape_to_byte_shape(shape, quantization) if kind != "F32" else shape
        raw = np.float32 if quantization == gguf.GGMLQuantizationType.F32 else np.uint8
        size = int(np.prod(bytes_shape if raw is np.uint8 else shape)) * np.dtype(raw).itemsize
        writer.add_tensor_info(names.get_name(name, (".weight", ".bias")), bytes_shape if raw is np.uint8 else shape, raw, size, quantization)
        written.append((name, quantization))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, quantization in written:  # one tensor in memory at a time
        writer.write_tensor_data(gguf.quants.quantize(f32(weights.get_tensor(name)), quantization))
writer.close()
