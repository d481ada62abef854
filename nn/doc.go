// Package nn holds the reward model as a Gorgonia graph: the Qwen2 trunk, value heads, LoRA adapters, and the machinery
// to run and train it on any engine backend. It reads and writes Hugging Face tensors by their own names.
package nn
