package prm

import (
	"maps"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/othernames"
	"github.com/stretchr/testify/require"
)

// What the table calls a key is one.
func TestTrainNamesAreKeys(t *testing.T) {
	known := map[string]bool{}
	for key := range maps.Keys(flatten(DefaultTrainConfig())) {
		known[key] = true
		if section, _, nested := strings.Cut(key, "."); nested {
			known[section] = true
		}
	}
	for name, here := range othernames.Train() {
		require.Equal(t, strings.ToLower(name), name)
		key := strings.FieldsFunc(here, func(r rune) bool { return r == ':' || r == ' ' })[0]
		if key != "nothing" && key != "the" {
			require.True(t, known[key], "%s: %s", name, here)
		}
		require.False(t, known[name], "%s is a key here", name)
	}
}

func TestUnknownKeysAreNamedTogether(t *testing.T) {
	_, err := load(t, required+"model_name_or_path: m\nlearning_rate: 1e-4\nper_device_train_batch_size: 4\nbf16: true\nwarmup_ratio: 0.1\n"+
		"report_to: wandb\nzebra: 1\noptim: {lrr: 1}\ntext: {max_length: 5}\nsave_steps: 1\npush_to_hub: true\n"+
		"trainer: {total_epochs: 3, zebras: {a: 1}}\nlearningRate: 1\nlora-r: 8\nwarmup_ration: 1\nlora: {r: 1}\n")
	var lines []string
	for line := range strings.Lines(err.Error()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), "run.yaml:")
		lines = append(lines, text)
	}
	require.Equal(t, []string{
		"4: unknown key model_name_or_path: here it is model",
		"5: unknown key learning_rate: here it is optim.lr",
		"6: unknown key per_device_train_batch_size: here it is batch.trajectories: of a whole optimizer step; batch.tokens bounds the memory",
		"7: unknown key bf16: here it is dtype: bf16",
		"8: unknown key warmup_ratio: here it is optim.warmup",
		"9: unknown key report_to: here it is tracking: for MLflow; TensorBoard's files are always written",
		"10: unknown key zebra",
		"11: unknown key optim.lrr: the nearest known key is optim.lr",
		"12: unknown key text.max_length: here it is text.max_tokens",
		"13: unknown key save_steps: here it is checkpoint.every",
		"14: unknown key push_to_hub: there is no such key here: upload the folder that prm export writes",
		"15: unknown key trainer.total_epochs: here it is optim.epochs",
		"15: unknown key trainer.zebras.a",
		"16: unknown key learningRate: here it is optim.lr",
		"17: unknown key lora-r: here it is lora.rank",
		"18: unknown key warmup_ration: if it is warmup_ratio, here it is optim.warmup",
		"19: unknown key lora.r: here it is lora.rank",
	}, lines)
	_, err = load(t, required, "learning_rate=1")
	require.ErrorContains(t, err, "here it is optim.lr")
}
