// Package othernames knows what other training programs call the keys of train.yaml.
package othernames

import "github.com/goprm/goprm/internal/strictyaml"

// Train maps keys of transformers.TrainingArguments, TRL, PEFT, LLaMA-Factory and axolotl to those of train.yaml. What is not the same
// thing has a remark; what is no key begins with "nothing" or "the option".
func Train() strictyaml.Names {
	return strictyaml.Names{
		"model_name_or_path": "model", "model_name": "model", "model_id": "model", "model_path": "model", "base_model": "model",
		"pretrained": "model",
		"output_dir": "out", "save_dir": "out", "run_name": "out: the run folder's name names the run",

		"dataset": "data.train", "dataset_name": "data.train: files or folders", "dataset_path": "data.train",
		"dataset_id": "data.train: files or folders",
		"train_file": "data.train", "train_files": "data.train", "train_data": "data.train", "train_dataset": "data.train",
		"datasets":        "data.train",
		"validation_file": "data.eval", "eval_file": "data.eval", "eval_data": "data.eval", "eval_dataset": "data.eval", "test_file": "data.eval",
		"validation_split": "data.eval_share", "val_size": "data.eval_share", "eval_split": "data.eval_share", "val_set_size": "data.eval_share",

		"learning_rate": "optim.lr", "num_train_epochs": "optim.epochs", "num_epochs": "optim.epochs", "max_steps": "optim.steps",
		"warmup_ratio": "optim.warmup", "warmup_steps": "optim.warmup", "lr_scheduler_type": "optim.schedule", "lr_scheduler": "optim.schedule",
		"adam_beta1": "optim.betas: both in a list", "adam_beta2": "optim.betas: both in a list", "adam_epsilon": "optim.eps",
		"max_grad_norm": "optim.clip", "gradient_clipping": "optim.clip", "optim_args": "optim", "optimizer": "optim: it is AdamW always",

		"per_device_train_batch_size": "batch.trajectories: of a whole optimizer step; batch.tokens bounds the memory",
		"train_batch_size":            "batch.trajectories: of a whole optimizer step",
		"batch_size":                  "batch.trajectories: of a whole optimizer step",
		"micro_batch_size":            "batch.tokens: tokens of a micro-batch, which change memory alone",
		"gradient_accumulation_steps": "batch.trajectories: of a whole optimizer step; micro-batches are cut by batch.tokens",
		"per_device_eval_batch_size":  "batch.tokens: tokens of a micro-batch, which change memory alone",
		"packing":                     "batch.tokens: texts are always packed, without attention between them",
		"group_by_length":             "batch.tokens: texts are always packed, without padding",

		"max_length": "text.max_tokens", "max_seq_length": "text.max_tokens", "max_seq_len": "text.max_tokens", "cutoff_len": "text.max_tokens",
		"sequence_len": "text.max_tokens", "model_max_length": "text.max_tokens", "truncation": "text.long", "step_separator": "text.separator",
		"step_tag": "text.step_mark", "chat_template": "text.template", "template_name": "text.template",
		"train_on_last_step_only": "loss.lambda_step: 0",

		"bf16": "dtype: bf16", "fp16": "dtype: bf16; there is no training in f16", "tf32": "dtype: f32; there is no tf32", "torch_dtype": "dtype",
		"precision": "dtype", "mixed_precision": "dtype", "gradient_checkpointing": "recompute: layer",
		"activation_checkpointing": "recompute: layer",
		"load_in_4bit":             "dtype: weights are not quantised", "load_in_8bit": "dtype: weights are not quantised",
		"optim_bits": "optim.moments: bf16 halves AdamW's memory", "cpu_offload": "optim.offload",

		"finetuning_type": "train", "use_peft": "train: lora", "use_lora": "train: lora", "adapter": "train: lora",
		"freeze_backbone": "train: head",
		"lora_r":          "lora.rank", "lora_rank": "lora.rank", "lora_alpha": "lora.alpha", "lora_dropout": "lora.dropout",
		"peft_config":         "lora",
		"lora_target_modules": "lora.targets", "target_modules": "lora.targets", "lora_target": "lora.targets",
		"layers_to_transform": "lora.layers",
		"loss_type":           "loss.kind", "num_labels": "head.kind", "modules_to_save": "head: it is always trained and saved",

		"eval_steps": "eval.every", "eval_strategy": "eval.every", "evaluation_strategy": "eval.every", "max_eval_samples": "eval.max",
		"metric_for_best_model": "eval.best", "load_best_model_at_end": "save: best", "save_steps": "checkpoint.every",
		"save_strategy":    "checkpoint.every",
		"save_total_limit": "checkpoint.keep", "resume_from_checkpoint": "the option --resume, not a key",
		"overwrite_output_dir": "nothing: a run folder is never overwritten",
		"logging_steps":        "nothing: every step is written to metrics.jsonl",
		"logging_strategy":     "nothing: every step is written to metrics.jsonl",
		"logging_dir":          "nothing: TensorBoard's files are in the run folder",
		"report_to":            "tracking: for MLflow; TensorBoard's files are always written",
		"data_seed":            "seed", "full_determinism": "nothing: equal seeds give equal bits", "no_cuda": "device: cpu",
		"use_cpu":                "device: cpu",
		"dataloader_num_workers": "threads", "dataset_num_proc": "threads", "deepspeed": "nothing: one device trains",
		"fsdp":                       "nothing: one device trains",
		"ddp_find_unused_parameters": "nothing: one device trains", "push_to_hub": "nothing: upload the folder that prm export writes",
	}
}
