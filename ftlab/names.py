"""What other tools call the fields of a spec, and the columns of a curve: transformers, TRL and
peft, Tinker, torchtune, NeMo, LLaMA-Factory, Axolotl. A person who pastes such a name is told ours;
curves are read under any of them."""

from __future__ import annotations

FOREIGN_NAMES: dict[str, str] = {
    "num_train_epochs": "n_epochs",
    "num_epochs": "n_epochs",
    "epochs": "n_epochs",
    "per_device_train_batch_size": "batch_size",
    "global_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "lr": "learning_rate",
    "lr_scheduler": "lr_scheduler_type",
    "warmup_steps": "warmup_ratio",
    "lr_warmup_steps": "warmup_ratio",
    "min_lr": "min_lr_ratio",
    "r": "lora_r",
    "lora_rank": "lora_r",
    "rank": "lora_r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "target_modules": "lora_trainable_modules",
    "lora_target": "lora_trainable_modules",
    "lora_target_modules": "lora_trainable_modules",
    "lora_attn_modules": "lora_trainable_modules",
    "exclude_modules": "lora_exclude_modules",
    "max_length": "max_seq_length",
    "max_seq_len": "max_seq_length",
    "cutoff_len": "max_seq_length",
    "sequence_len": "max_seq_length",
    "training_type": "lora",
    "beta": "dpo_beta",
    "pref_beta": "dpo_beta",
    "seed": "random_seed",
    "model_name_or_path": "model",
    "base_model": "model",
    "dataset": "training_file",
    "train_file": "training_file",
    "val_file": "validation_file",
    "val_size": "validation_split",
    "clip_grad_norm": "max_grad_norm",
    "sample_packing": "packing",
    "neftune_noise": "neftune_noise_alpha",
    "eval_steps": "n_evals",
    "eval_every": "n_evals",
    "val_every_steps": "n_evals",
    "save_steps": "n_checkpoints",
    "save_every": "n_checkpoints",
    "ckpt_every_steps": "n_checkpoints",
}

OTHER_UNITS: dict[str, str] = {
    "per_device_train_batch_size": "the rows of all devices together",
    "warmup_steps": "a share of the run",
    "lr_warmup_steps": "a share of the run",
    "min_lr": "a share of the peak learning rate",
    "training_type": "True for an adapter and False for all weights, beside lora_r and its like",
    "eval_steps": "a count of evaluations in the whole run",
    "eval_every": "a count of evaluations in the whole run",
    "val_every_steps": "a count of evaluations in the whole run",
    "save_steps": "a count of checkpoints in the whole run",
    "save_every": "a count of checkpoints in the whole run",
    "ckpt_every_steps": "a count of checkpoints in the whole run",
}
"""Names whose value is no value of ours as it stands, and what ours is."""

STEP_NAMES = (
    "train/global_step",
    "global_step",
    "step",
    "_step",
    "trainer/global_step",
    "iteration",
)
"""Where the number of optimizer steps stands, the surest first: W&B's own _step counts its logs."""
METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "train_loss": ("train_loss", "loss", "train/loss", "training_loss", "training/loss"),
    "eval_loss": (
        *("eval_loss", "eval/loss", "val_loss", "val/loss", "valid/loss", "validation_loss"),
        *("validation/loss", "test/loss"),
    ),
    "learning_rate": ("learning_rate", "train/learning_rate", "lr", "train/lr"),
    "grad_norm": ("grad_norm", "train/grad_norm", "gradient_norm"),
    "epoch": ("epoch", "train/epoch"),
    "tokens_per_second": ("tokens_per_second", "train/tokens_per_second", "tps"),
    "loss_tokens": ("loss_tokens", "num_label_tokens", "train/num_label_tokens"),
    "gpu_memory_gib": ("gpu_memory_gib", "mem"),
}
"""Our metric → what it is called elsewhere: by transformers and TRL, by their reports to W&B and
TensorBoard, by NeMo, Lightning and torchtune."""
