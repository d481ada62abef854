package dist

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func fromText(text string) (Launch, error) {
	env := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return FromEnv(func(name string) string { return env[name] })
}

func TestLaunchers(t *testing.T) {
	for text, want := range map[string]Launch{
		"":      {"none", 0, 1, -1, 0, "", 0},
		"RANK=": {"none", 0, 1, -1, 0, "", 0},
		"RANK=3 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=29500": {"torchrun", 3, 4, 1, 2, "a", 29500},
		"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2 PMIX_RANK=1": {
			"Open MPI", 1, 2, 1, 2, "", 0},
		"PMI_RANK=2 PMI_SIZE=3 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=1": {"MPICH", 2, 3, 0, 1, "", 0},
		"SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_LOCALID=1":             {"Slurm", 1, 2, 1, 0, "", 0},
		"SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0":             {"Slurm", 0, 1, 0, 0, "", 0},
		// A step of two tasks in a job of eight.
		"SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=8": {"Slurm", 1, 2, -1, 0, "", 0},
		"SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=8":                                        {"none", 0, 1, -1, 0, "", 0}, // an sbatch script
		"JOB_COMPLETION_INDEX=3":                            {"none", 0, 1, -1, 0, "", 0}, // an array of jobs
		"JOB_COMPLETION_INDEX=3 WORLD_SIZE=4 MASTER_ADDR=h": {"Kubernetes", 3, 4, -1, 0, "h", 0},
		"WORLD_SIZE=1":                                      {"none", 0, 1, -1, 0, "", 0},
		// srun, and a Kubernetes job, that run torchrun once on each of two machines.
		"SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2 RANK=5 WORLD_SIZE=8 LOCAL_RANK=1": {"torchrun", 5, 8, 1, 0, "", 0},
		"JOB_COMPLETION_INDEX=1 RANK=5 WORLD_SIZE=8 LOCAL_RANK=1":                                       {"torchrun", 5, 8, 1, 0, "", 0},
		// mpirun in a Slurm allocation, in the batch script and by a daemon on another machine.
		"SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=8 OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=8": {"Open MPI", 3, 8, -1, 0, "", 0},
		"SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=8 OMPI_COMM_WORLD_RANK=5 OMPI_COMM_WORLD_SIZE=8": {
			"Open MPI", 5, 8, -1, 0, "", 0},
		"SLURM_PROCID=1 SLURM_NTASKS=2 PMIX_RANK=1 WORLD_SIZE=2":            {"Slurm", 1, 2, -1, 0, "", 0},
		"RANK=1 WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2": {"torchrun", 1, 2, -1, 0, "", 0},
	} {
		got, err := fromText(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestContradictionsNameBothVariables(t *testing.T) {
	for text, want := range map[string]string{
		"RANK=1":                            "RANK WORLD_SIZE",
		"WORLD_SIZE=4":                      "WORLD_SIZE",
		"RANK=4 WORLD_SIZE=4":               "RANK WORLD_SIZE",
		"RANK=0 WORLD_SIZE=0":               "RANK WORLD_SIZE",
		"RANK=-1 WORLD_SIZE=4":              "RANK",
		"RANK=one WORLD_SIZE=4":             "RANK",
		"PMI_RANK=1":                        "PMI_RANK PMI_SIZE",
		"PMIX_RANK=1":                       "PMIX_RANK",
		"OMPI_COMM_WORLD_SIZE=2":            "OMPI_COMM_WORLD_SIZE",
		"SLURM_PROCID=2":                    "SLURM_PROCID SLURM_NP",
		"MASTER_PORT=x RANK=0 WORLD_SIZE=1": "MASTER_PORT",
		"RANK=2 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2":                               "LOCAL_RANK LOCAL_WORLD_SIZE",
		"RANK=2 WORLD_SIZE=4 LOCAL_RANK=3":                                                  "LOCAL_RANK RANK",
		"RANK=2 WORLD_SIZE=4 LOCAL_WORLD_SIZE=8":                                            "LOCAL_WORLD_SIZE WORLD_SIZE",
		"RANK=1 WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2":                 "RANK OMPI_COMM_WORLD_RANK",
		"RANK=1 WORLD_SIZE=2 SLURM_PROCID=0 SLURM_NTASKS=2":                                 "RANK SLURM_PROCID",
		"RANK=1 WORLD_SIZE=2 SLURM_PROCID=1 SLURM_NTASKS=4":                                 "WORLD_SIZE SLURM_NTASKS",
		"RANK=1 WORLD_SIZE=4 SLURM_PROCID=2 SLURM_NTASKS=3":                                 "WORLD_SIZE SLURM_NTASKS",
		"PMI_RANK=1 PMI_SIZE=2 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=1":               "OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE",
		"PMI_RANK=1 PMI_SIZE=4 WORLD_SIZE=2":                                                "PMI_SIZE WORLD_SIZE",
		"JOB_COMPLETION_INDEX=1 RANK=0 WORLD_SIZE=2":                                        "JOB_COMPLETION_INDEX RANK",
		"JOB_COMPLETION_INDEX=5 WORLD_SIZE=4":                                               "JOB_COMPLETION_INDEX WORLD_SIZE",
		"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 PMIX_RANK=0":                         "OMPI_COMM_WORLD_RANK PMIX_RANK",
		"OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 JOB_COMPLETION_INDEX=1 WORLD_SIZE=4": "OMPI_COMM_WORLD_SIZE WORLD_SIZE",
	} {
		_, err := fromText(text)
		for name := range strings.FieldsSeq(want) {
			require.ErrorContains(t, err, name, text)
		}
	}
}
