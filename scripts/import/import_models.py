#!/usr/bin/env python3
"""Writes model facts (configs/models/<name>.yaml) from folders of Hugging Face config.json files.

The facts are what a step time depends on: shapes, experts, element widths, default sampling. The files themselves are not
copied. rooftune reads config.json too; tests compare both readings where the originals are at hand.

usage: import_models.py CONFIGS_FOLDER --out configs/models [--sampling generation_defaults.json] [--origin TEXT]
"""
import argparse
import json
import pathlib
import re

BYTES_16_BIT = 2


def moe_layers(config):
    """Number of layers with experts; the families say it in different ways."""
    if config.get("moe_layers"):
        return len(config["moe_layers"])
    first_dense = config.get("first_k_dense_replace", 0)
    frequency = config.get("moe_layer_freq", 1)
    step = config.get("interleave_moe_layer_step", config.get("decoder_sparse_step", 1))
    dense = config.get("mlp_only_layers", [])
    return sum(
        layer >= first_dense and layer % frequency == 0 and (layer + 1) % step == 0 and layer not in dense
        for layer in range(config["num_hidden_layers"])
    )


def moe_facts(config):
    experts = config.get("num_local_experts", config.get("num_experts", config.get("n_routed_experts", 0)))
    if experts < 2 or moe_layers(config) == 0:
        return None
    width = config.get("moe_intermediate_size", config["intermediate_size"])
    facts = {
        "layers": moe_layers(config),
        "experts": experts,
        "experts_per_token": config["num_experts_per_tok"],
        "expert_ffn_width": width,
    }
    if config["model_type"].startswith("llama4"):
        shared = 1  # one in every MoE layer, as wide as a routed expert; the config does not say so
    else:
        shared = config.get("n_shared_experts") or 0
    if shared:
        facts["shared_experts"] = shared
        facts["shared_ffn_width"] = width
    return facts


def latent_facts(config):
    if not config.get("kv_lora_rank"):
        return None
    facts = {"query_rank": config["q_lora_rank"]} if config.get("q_lora_rank") else {}
    return facts | {
        "kv_rank": config["kv_lora_rank"],
        "nope_head_dim": config["qk_nope_head_dim"],
        "rope_head_dim": config["qk_rope_head_dim"],
        "value_head_dim": config["v_head_dim"],
    }


def quantisation_facts(quantisation, layers):
    """(bytes_per_element, computes_in_fp8) of the two kinds of FP8 checkpoints among the imported models."""
    if quantisation["quant_method"] == "fp8":
        return {"attention_weights": 1, "ffn_weights": 1}, {"attention": True, "ffn": True}
    assert quantisation["quant_method"] == "compressed-tensors", quantisation["quant_method"]
    (group,) = quantisation["config_groups"].values()
    assert all(group[part]["num_bits"] == 8 and group[part]["type"] == "float" for part in ("weights", "input_activations"))
    attention = re.compile(r"(language_model\.)?model\.layers\.\d+\.self_attn\.[qkvo]_proj")
    ignored = sum(bool(attention.fullmatch(name)) for name in quantisation["ignore"])
    assert ignored in (0, 4 * layers), "attention is quantised in some layers only"
    assert not any(re.search(r"language_model.*(experts|shared_expert)", name) for name in quantisation["ignore"])
    if ignored:
        return {"attention_weights": BYTES_16_BIT, "ffn_weights": 1}, {"attention": False, "ffn": True}
    return {"attention_weights": 1, "ffn_weights": 1}, {"attention": True, "ffn": True}


def facts_of(config):
    text = config.get("text_config", config)
    moe = moe_facts(text)
    latent = latent_facts(text)
    is_llama4 = text["model_type"].startswith("llama4")
    facts = {
        "architecture": config["architectures"][0],
        "layers": text["num_hidden_layers"],
        "hidden": text["hidden_size"],
        "heads": text["num_attention_heads"],
        "kv_heads": text.get("num_key_value_heads", text["num_attention_heads"]),
        "head_dim": text.get("head_dim", text["hidden_size"] // text["num_attention_heads"]),
        "ffn_width": text["intermediate_size_mlp"] if is_llama4 else text["intermediate_size"],
        "vocabulary": text["vocab_size"],
        "tied_embeddings": text.get("tie_word_embeddings", False),
        "max_positions": text["max_position_embeddings"],
    }
    if latent:
        facts["head_dim"] = latent["nope_head_dim"] + latent["rope_head_dim"]
        facts["latent_attention"] = latent
    if moe:
        facts["moe"] = moe
    if "quantization_config" in config:
        widths, fp8 = quantisation_facts(config["quantization_config"], facts["layers"])
        facts["bytes_per_element"] = widths
        facts["computes_in_fp8"] = fp8
    return facts


def yaml_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", value):
        return json.dumps(value)
    return str(value)


def sampling_of(name, defaults):
    """(published id, sampling facts) of the model called `name`; sampling is None where nothing is known."""
    for model_id, values in defaults.items():
        if model_id.rsplit("/", 1)[-1].lower() == name.lower():
            sampling = {key: values[key] for key in ("temperature", "top_p", "top_k") if key in values}
            sampling["source"] = "published generation_config.json, from memory (upstream note), not verified against the original"
            return model_id.rsplit("/", 1)[-1], sampling
    return name, None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of <model>/config.json")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--sampling", type=pathlib.Path, help="JSON: model id -> generation defaults")
    parser.add_argument("--origin", default="published config.json", help="where the files were taken from, for `source`")
    arguments = parser.parse_args()
    defaults = json.loads(arguments.sampling.read_text()) if arguments.sampling else {}
    defaults = {key: value for key, value in defaults.items() if not key.startswith("_")}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(arguments.folder.glob("*/config.json")):
        name, sampling = sampling_of(path.parent.name, defaults)
        facts = {"schema": "rooftune/model/1", "name": name}
        facts["source"] = f"config.json of {path.parent.name}, {arguments.origin}"
        facts |= facts_of(json.loads(path.read_text()))
        if sampling is not None:
            facts["sampling"] = sampling
        lines = [f"{key}: {yaml_value(value)}" for key, value in facts.items()]
        if sampling is None:
            lines.append("# Default sampling: not known.")
        (arguments.out / f"{path.parent.name}.yaml").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
