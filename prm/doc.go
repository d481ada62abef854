// Package prm trains process reward models and scores reasoning with them.
//
// Train turns labelled trajectories into a model folder, Open reads one, and Model.Score gives every step of a new
// trajectory a score, and the whole of it a reward. Everything is plain Go and runs without cgo.
//
// The configuration of a training run is the same in Go and in YAML: see TrainConfig and LoadTrainConfig.
package prm
