// Package mpi is the engine of ranks that mpirun or srun started: libmpi, loaded at run time without cgo. Open MPI's ABI and
// MPICH's are told apart by the library's symbols. docs/scale.md says which versions were run.
package mpi
