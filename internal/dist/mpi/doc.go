// Package mpi is the engine of ranks that mpirun or srun started: libmpi, loaded at run time without cgo. Open MPI 4 and 5 and libraries
// with MPICH's ABI are told apart by their symbols.
package mpi
