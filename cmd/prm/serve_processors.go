package main

import "runtime"

// spareProcessors makes Go run some goroutines more at a time than the machine has processors: as many as take turns with large requests,
// and one that waits for the network. Go itself takes a processor from a goroutine after 10 ms, and looks at timers and the network when
// one has nothing to do; the system's scheduler gives a short request its turn at once. The model computes with as many threads as before.
//
// Where Go was given fewer processors than there are (GOMAXPROCS, a container's limit) it keeps to them: a container that computes with
// more uses up its time early, and stands still until it gets more. restore sets the number that it was.
func (p *program) spareProcessors() (restore func()) {
	n := runtime.GOMAXPROCS(0)
	if n < runtime.NumCPU() {
		return func() {}
	}
	if p.threads == 0 {
		p.threads = n
	}
	runtime.GOMAXPROCS(n + max(1, n/2) + 1)
	return func() { runtime.GOMAXPROCS(n) }
}
