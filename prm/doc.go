// Package prm trains process reward models and scores reasoning with them.
//
// Train turns labelled trajectories into a model folder, Open reads one, and Model.Score gives every step of a new
// trajectory a score, and the whole of it a reward. Everything is plain Go and runs without cgo.
//
// BestOfN judges picking one of several answers by such scores, Select keeps the best trajectories of a pool to train on, and
// Blend and GroupAdvantages make rewards for reinforcement learning of them. Scores may come from a model (Stored) or from
// files (ReadScores).
//
// The configuration of a training run is the same in Go and in YAML: see TrainConfig and LoadTrainConfig.
package prm
