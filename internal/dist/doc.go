// Package dist makes the processes that a launcher started (mpirun, torchrun, srun, a Kubernetes job) one training run: which rank a
// process is ([FromEnv]), and collectives among the ranks ([Group]) over an [Engine] that moves the bytes.
//
// Sums are taken in the order of ranks, whatever the engine does, so the same world size gives the same bits.
package dist
