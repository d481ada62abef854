package main

import (
	"fmt"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/parity"
)

type parityCommand struct {
	Dirs  []string `arg:"" help:"Golden folders, of backbones or of head formats."`
	DType string   `name:"dtype" default:"f32" help:"Arithmetic to compare: f32, f64, or bf16 where the device computes in it."`
	machineFlags
	JSON bool `help:"Print JSON."`
}

func (parityCommand) Help() string {
	return "For each quantity: the worst relative error, its tolerance, and where it is. Exit 1 when one is beyond tolerance or " +
		"a file is missing; every folder is compared all the same. Example:\n\n" +
		"  prm parity goldens/D goldens/heads/qwen_math_prm --dtype f64 --backend portable"
}

func (c parityCommand) Run(p *program) error {
	dtype, err := engine.ParseDType(c.DType)
	if err != nil {
		return usageError(err.Error())
	}
	backend, err := engine.Open(c.Device, engine.Options{Kernels: c.Backend, Workers: p.threads, DType: c.DType})
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }()
	if _, narrow := backend.(engine.ComputesBF16); dtype == engine.BFloat16 && !narrow {
		return fmt.Errorf("%s does not compute in bf16; use f32 or f64, a CPU with AVX512_BF16, or a GPU", backend.Name())
	}
	reports := make([]folderReport, len(c.Dirs))
	var wrong []string
	for i, dir := range c.Dirs {
		report, err := parity.Run(dir, parity.Options{DType: dtype, Backend: backend})
		reports[i] = folderReport{Report: report, OK: err == nil && report.OK()}
		switch {
		case err != nil:
			reports[i].Error = oneLine(err)
			wrong = append(wrong, reports[i].Error)
		case !report.OK():
			wrong = append(wrong, dir+": beyond tolerance")
		}
		if err == nil && !c.JSON {
			if err := report.Write(p.stdout); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := p.printJSON(reports); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s (%s on %s)", strings.Join(wrong, "; "), c.DType, backend.Name())
	}
	if c.JSON {
		return nil
	}
	_, err = fmt.Fprintf(p.stdout, "%d folders agree with PyTorch in %s on %s\n", len(c.Dirs), c.DType, backend.Name())
	return err
}

// folderReport is one folder in the output of --json.
type folderReport struct {
	*parity.Report
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"` // why it could not be compared
}
