//go:build noasm || !amd64

package cpu

func peakLoops() []peakLoop { return nil }
