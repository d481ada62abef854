package main

import (
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"

	"github.com/goprm/goprm/cuda"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/dist/mpi"
	"github.com/goprm/goprm/internal/engine"
)

type devicesCommand struct {
	Launch bool `help:"Say which rank of how many this process is by its launcher's variables, and by what the ranks would communicate."`
	JSON   bool `help:"Print JSON."`
}

func (devicesCommand) Help() string {
	return "The first GPU that can be used is what device auto takes, in bf16; else the CPU, in f32. Examples:\n\n  prm devices --json\n" +
		"  mpirun -n 2 prm devices --launch"
}

// deviceReport is the output of --json.
type deviceReport struct {
	CPU     string        `json:"cpu"` // kernels
	Threads int           `json:"threads"`
	Driver  string        `json:"driver,omitempty"` // the CUDA version that the NVIDIA driver is for
	GPUs    []cuda.Device `json:"gpus"`
	Reason  string        `json:"reason,omitempty"` // why no GPU can be listed
}

func (c devicesCommand) Run(p *program) error {
	if c.Launch {
		return c.launch(p)
	}
	cpu, err := engine.Open("cpu", engine.Options{Workers: p.threads})
	if err != nil {
		return err
	}
	r := deviceReport{CPU: cpu.Name(), Threads: runtime.GOMAXPROCS(0), GPUs: []cuda.Device{}}
	if err := cpu.Close(); err != nil {
		return err
	}
	found, err := cuda.Devices()
	if err != nil {
		r.Reason = oneLine(err)
	}
	r.Driver, r.GPUs = found.Driver, append(r.GPUs, found.Devices...)
	if c.JSON {
		return p.printJSON(r)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, err = fmt.Fprintf(w, "cpu\t%s, %d threads\n", r.CPU, r.Threads)
	for _, d := range r.GPUs {
		use := "kernels " + d.Kernels
		if d.Kernels == "sm90a" {
			use += ", once they have passed a trial against sm80's"
		}
		if d.Reason != "" {
			use = "not usable: " + d.Reason
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\t%s, compute capability %s, %.1f GiB, %d multiprocessors, driver for CUDA %s: %s\n",
				d.Name, d.Model, d.Capability, float64(d.Memory)/(1<<30), d.Multiprocessors, r.Driver, use)
		}
	}
	if r.Reason != "" && err == nil {
		_, err = fmt.Fprintf(w, "cuda\tnone: %s\n", r.Reason)
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// launchReport is the output of --launch --json.
type launchReport struct {
	dist.Launch
	MPI    string `json:"mpi,omitempty"`
	Reason string `json:"reason,omitempty"` // why there is no MPI library
}

// launch says what the process is among the ranks. It starts nothing.
func (c devicesCommand) launch(p *program) error {
	launch, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	r := launchReport{Launch: launch}
	if r.MPI, err = mpi.Library(launch); err != nil {
		r.Reason = oneLine(err)
	}
	if c.JSON {
		return p.printJSON(r)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	text := fmt.Sprintf("launcher\t%s\nrank\t%d of %d\n", r.Launcher, r.Rank, r.World)
	if r.LocalRank >= 0 {
		text += fmt.Sprintf("on this machine\t%d", r.LocalRank)
		if r.LocalWorld > 0 {
			text += fmt.Sprintf(" of %d", r.LocalWorld)
		}
		text += "\n"
	}
	if r.Master != "" {
		text += fmt.Sprintf("rendezvous\t%s:%d\n", r.Master, r.MasterPort)
	}
	if r.MPI != "" {
		text += fmt.Sprintf("MPI\t%s\n", r.MPI)
	} else {
		text += fmt.Sprintf("MPI\tnone: %s\n", r.Reason)
	}
	if _, err := fmt.Fprint(w, text); err != nil {
		return err
	}
	return w.Flush()
}
