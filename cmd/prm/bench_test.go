package main

import (
	"encoding/json"
	"testing"

	"github.com/goprm/goprm/internal/speed"
	"github.com/stretchr/testify/require"
)

func TestBench(t *testing.T) {
	code, out, errs := prmCommand("bench", "--shape", "tiny", "--tokens", "64", "--steps", "2", "--mode", "lora", "--json")
	require.Zero(t, code, errs)
	var r speed.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Len(t, r.Seconds, 2)
	require.NotEmpty(t, r.Ops)
	require.Greater(t, r.Executed, 0.0)

	code, _, errs = prmCommand("bench", "--shape", "tiny", "--tokens", "0")
	require.Equal(t, 2, code)
	require.Contains(t, errs, "tokens: 0")
	code, _, errs = prmCommand("bench", t.TempDir())
	require.Equal(t, 1, code)
	require.Contains(t, errs, "config.json")
}
