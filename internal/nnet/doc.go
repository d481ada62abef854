// Package nnet runs and trains the graphs that package nn builds, on any engine backend: compilation by capacity, weights,
// batches, optimizer state, and a cache of keys and values. It knows no model; nn registers the builder of graphs.
package nnet
