// Package nn is a reward model as a Gorgonia graph: a backbone (Qwen2, of which Llama and Mistral are cases, or Qwen3), value
// heads and LoRA adapters, read from and written to Hugging Face folders.
//
// [Open] gives a [Network] that computes hidden states, scores and gradients, and learns:
//
//	net, err := nn.Open("Qwen2.5-1.5B-Instruct", nn.Options{Train: nn.Head})
//	hidden, err := net.Hidden(ctx, ids)                           // [T, hidden]
//	result, err := net.TrainStep(ctx, batches, nn.DefaultAdamW(1e-3))
//
// A head and a loss of one's own are Gorgonia expressions over the features at the read-outs, see [Expr]. The trunk runs in
// goprm's own kernels and meets the expression at this boundary, where gradients go back.
//
// Package prm is the level above: configuration, data, checkpoints and scores of whole trajectories.
package nn
