package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/goprm/goprm/prm"
)

type cacheCommand struct {
	Dir   string `help:"The cache's folder; else the one that training uses by default."`
	Prune string `help:"Remove what was used longest ago until at most SIZE is left: bytes, or with KiB to TiB, as 20GiB." placeholder:"SIZE"`
	JSON  bool   `help:"Print JSON."`
}

func (cacheCommand) Help() string {
	return "Hidden states of head training are kept by model and text, tokens by data files, tokenizer and text settings, and both are used " +
		"again by any run that needs the same. Example:\n\n  prm cache --prune 20GiB"
}

func (c cacheCommand) Run(p *program) error {
	keep := int64(-1)
	if c.Prune != "" {
		var err error
		if keep, err = parseSize(c.Prune); err != nil {
			return usageError("--prune " + err.Error())
		}
	}
	r, err := prm.Cache(c.Dir, keep)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(r)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %.2f GiB of hidden states in %d files, of %d models; "+
		"%.2f GiB of tokens in %d files, of %d data sets\n",
		r.Dir, gib(r.Bytes-r.TokenBytes), r.Files-r.TokenFiles, r.Models, gib(r.TokenBytes), r.TokenFiles, r.Datasets)
	if err == nil && c.Prune != "" {
		_, err = fmt.Fprintf(p.stdout, "removed %.2f GiB\n", gib(r.Removed))
	}
	return err
}

var sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([KMGT]?)(?:i?B)?$`)

// parseSize reads a number of bytes, with K, M, G or T in powers of 1024.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size: write bytes, or a number with KiB, MiB, GiB or TiB", text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	bytes := v
	if m[2] != "" {
		bytes *= math.Pow(1024, float64(strings.Index(" KMGT", m[2])))
	}
	if err != nil || bytes > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is too large", text)
	}
	return int64(bytes), nil
}
