// Package prm trains process reward models, scores reasoning with them, and uses the scores. Everything is plain Go and
// builds without cgo; a program that is to compute on NVIDIA GPUs also imports the backend:
//
//	import _ "github.com/goprm/goprm/cuda"
//
// A process reward model reads a trajectory (a problem, the thinking, the response), gives each step a score, and the whole
// one of its own. What follows is the way from raw traces to a served model; each part stands on its own.
//
// # Label
//
// [Label] gives steps and trajectories soft rewards with judges, encoders and policies that [LabelConfig] names, and is
// resumable. Labels that a program has already go into [data.Labels]; nil is a step without one:
//
//	t := &data.Trajectory{
//		ID: "t1", Problem: "What is 2+2?", Steps: []string{"Add them.", "It is 4."},
//		Labels: data.Labels{Steps: data.Floats(1, 0.9), Trajectory: data.Float(1)},
//	}
//
// # Train
//
// [Train] turns labelled trajectories into a model folder: the head alone, LoRA adapters, or everything.
//
//	result, err := prm.Train(ctx, prm.TrainConfig{
//		Model: "Qwen2.5-1.5B-Instruct", // a folder from Hugging Face
//		Out:   "runs/one",
//		Data:  prm.DataConfig{Train: []string{"labelled.jsonl"}},
//		Optim: prm.Optim{LR: new(2e-5), WeightDecay: new(0.0)},
//		OnStep: func(s prm.StepMetrics) { log.Printf("step %d: loss %.4f", s.Step, s.Loss) },
//	})
//
// [TrainConfig] has the same keys in Go and in YAML ([LoadTrainConfig]); what is left out has its default. Cancelling ctx
// saves the run, and Resume continues it bit for bit. [DryRun] shows what the model would read, [Plan] what memory a run takes.
//
// # Score
//
// [Open] reads a model folder: one that Train wrote, a checkpoint, or one of the public formats, by its architecture and
// tensor names. A [Model] scores one trajectory, a stream of them, or a text that grows:
//
//	model, err := prm.Open(result.Model, prm.OpenOptions{})
//	score, err := model.Score(ctx, t)                                // score.Steps[i].Score, score.Trajectory, score.Reward
//	for score, err := range model.ScoreAll(ctx, data.Read(paths, data.ReadOptions{}), prm.ScoreOptions{}) { … }
//	session, err := model.Session(problem)                           // then Append and Fork, as a search needs them
//
// The same model, backend and dtype give the same bits alone, in any batch, and from the command prm score.
//
// # Select
//
// [Select] keeps the best trajectories of a pool to fine-tune on, without repeated problems and those of a benchmark.
// [BestOfN] says how often picking the best-scored of N answers finds a right one. [Blend], [BlendDense] and
// [GroupAdvantages] make rewards for reinforcement learning. Each of them takes scores of a model ([Stored]) or of files
// ([ReadScores]).
//
// # Serve
//
// [NewServer] is an [net/http.Handler] that answers the reward requests of OpenRLHF, slime, LLaMA-Factory, vLLM and SGLang, in a program
// that imports _ "github.com/goprm/goprm/prm/server":
//
//	server, err := prm.NewServer(model, prm.ServerOptions{})
//	err = server.Serve(ctx, listener, 30*time.Second)
//
// [Export] writes the layouts of transformers, PEFT and vLLM, and [Report] pages about runs and scores.
package prm
