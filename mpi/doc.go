// Package mpi lets the ranks that mpirun or srun started train together, through the MPI library that belongs to that launcher:
//
//	import _ "github.com/goprm/goprm/mpi"
//
// and then a run with TrainConfig.Distributed finds it. Nothing is needed to build it, not even cgo: libmpi is found at run time. Without
// one, and in builds for other systems or with the tag nocuda (which leaves out everything that is linked to libc), joining the ranks is an
// error that says so.
package mpi

import _ "github.com/goprm/goprm/internal/dist/mpi" // the engine
